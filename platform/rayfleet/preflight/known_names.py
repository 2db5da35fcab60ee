"""The fields of a RayCluster spec by KubeRay's definition; ``rayfleet.testing.known_fields`` writes them. Pure.

Types end with ";". A type is its fields; ``name:3`` is of type 3, counted from 0, a bare name is any value. Type 0 has
no fields, the last one is the spec.
"""

VERSION = "v1.6.0"
TYPES = """
 ; enableK8sTokenAuth mode secretName ; key name optional ; apiVersion fieldPath ; key optional path volumeName ;
containerName divisor resource ; configMapKeyRef:2 fieldRef:3 fileKeyRef:4 resourceFieldRef:5 secretKeyRef:2 ; name
value valueFrom:6 ; name optional ; configMapRef:8 prefix secretRef:8 ; name request ; claims:10 limits requests ;
localhostProfile type ; add drop ; level role type user ; gmsaCredentialSpec gmsaCredentialSpecName hostProcess
runAsUserName ; allowPrivilegeEscalation appArmorProfile:12 capabilities:13 privileged procMount
readOnlyRootFilesystem runAsGroup runAsNonRoot runAsUser seLinuxOptions:14 seccompProfile:12 windowsOptions:15 ;
mountPath mountPropagation name readOnly recursiveReadOnly subPath subPathExpr ; env:7 envFrom:9 idleTimeoutSeconds
image imagePullPolicy resources:11 securityContext:16 upscalingMode version volumeMounts:17 ; value valueFrom:6 ;
externalStorageNamespace redisAddress redisPassword:19 redisUsername:19 ; annotations finalizers labels name namespace
; appProtocol name nodePort port protocol targetPort ; timeoutSeconds ; clientIP:23 ; allocateLoadBalancerNodePorts
clusterIP clusterIPs externalIPs externalName externalTrafficPolicy healthCheckNodePort internalTrafficPolicy
ipFamilies ipFamilyPolicy loadBalancerClass loadBalancerIP loadBalancerSourceRanges ports:22 publishNotReadyAddresses
selector sessionAffinity sessionAffinityConfig:24 trafficDistribution type ; lastTransitionTime message
observedGeneration reason status type ; error port protocol ; hostname ip ipMode ports:27 ; ingress:28 ; conditions:26
loadBalancer:29 ; apiVersion kind metadata:21 spec:25 status:30 ; key operator values ; matchExpressions:32
matchFields:32 ; preference:33 weight ; nodeSelectorTerms:33 ; preferredDuringSchedulingIgnoredDuringExecution:34
requiredDuringSchedulingIgnoredDuringExecution:35 ; matchExpressions:32 matchLabels ; labelSelector:37 matchLabelKeys
mismatchLabelKeys namespaceSelector:37 namespaces topologyKey ; podAffinityTerm:38 weight ;
preferredDuringSchedulingIgnoredDuringExecution:39 requiredDuringSchedulingIgnoredDuringExecution:38 ; nodeAffinity:36
podAffinity:40 podAntiAffinity:40 ; command ; name value ; host httpHeaders:43 path port scheme ; seconds ; host port
; exec:42 httpGet:44 sleep:45 tcpSocket:46 ; postStart:47 preStop:47 stopSignal ; port service ; exec:42
failureThreshold grpc:49 httpGet:44 initialDelaySeconds periodSeconds successThreshold tcpSocket:46
terminationGracePeriodSeconds timeoutSeconds ; containerPort hostIP hostPort name protocol ; resourceName
restartPolicy ; operator values ; action exitCodes:53 ; devicePath name ; args command env:7 envFrom:9 image
imagePullPolicy lifecycle:48 livenessProbe:50 name ports:51 readinessProbe:50 resizePolicy:52 resources:11
restartPolicy restartPolicyRules:54 securityContext:16 startupProbe:50 stdin stdinOnce terminationMessagePath
terminationMessagePolicy tty volumeDevices:55 volumeMounts:17 workingDir ; nameservers options:43 searches ; args
command env:7 envFrom:9 image imagePullPolicy lifecycle:48 livenessProbe:50 name ports:51 readinessProbe:50
resizePolicy:52 resources:11 restartPolicy restartPolicyRules:54 securityContext:16 startupProbe:50 stdin stdinOnce
targetContainerName terminationMessagePath terminationMessagePolicy tty volumeDevices:55 volumeMounts:17 workingDir ;
hostnames ip ; name ; conditionType ; name resourceClaimName resourceClaimTemplateName ; appArmorProfile:12 fsGroup
fsGroupChangePolicy runAsGroup runAsNonRoot runAsUser seLinuxChangePolicy seLinuxOptions:14 seccompProfile:12
supplementalGroups supplementalGroupsPolicy sysctls:43 windowsOptions:15 ; effect key operator tolerationSeconds value
; labelSelector:37 matchLabelKeys maxSkew minDomains nodeAffinityPolicy nodeTaintsPolicy topologyKey whenUnsatisfiable
; fsType partition readOnly volumeID ; cachingMode diskName diskURI fsType kind readOnly ; readOnly secretName
shareName ; monitors path readOnly secretFile secretRef:60 user ; fsType readOnly secretRef:60 volumeID ; key mode
path ; defaultMode items:71 name optional ; driver fsType nodePublishSecretRef:60 readOnly volumeAttributes ;
fieldRef:3 mode path resourceFieldRef:5 ; defaultMode items:74 ; medium sizeLimit ; apiGroup kind name ; apiGroup kind
name namespace ; limits requests ; accessModes dataSource:77 dataSourceRef:78 resources:79 selector:37
storageClassName volumeAttributesClassName volumeMode volumeName ; metadata:21 spec:80 ; volumeClaimTemplate:81 ;
fsType lun readOnly targetWWNs wwids ; driver fsType options readOnly secretRef:60 ; datasetName datasetUUID ; fsType
partition pdName readOnly ; directory repository revision ; endpoints path readOnly ; path type ; pullPolicy reference
; chapAuthDiscovery chapAuthSession fsType initiatorName iqn iscsiInterface lun portals readOnly secretRef:60
targetPortal ; path readOnly server ; claimName readOnly ; fsType pdID ; fsType readOnly volumeID ; labelSelector:37
name optional path signerName ; items:71 name optional ; items:74 ; certificateChainPath credentialBundlePath keyPath
keyType maxExpirationSeconds signerName userAnnotations ; audience expirationSeconds path ; clusterTrustBundle:96
configMap:97 downwardAPI:98 podCertificate:99 secret:97 serviceAccountToken:100 ; defaultMode sources:101 ; group
readOnly registry tenant user volume ; fsType image keyring monitors pool readOnly secretRef:60 user ; fsType gateway
protectionDomain readOnly secretRef:60 sslEnabled storageMode storagePool system volumeName ; defaultMode items:71
optional secretName ; fsType readOnly secretRef:60 volumeName volumeNamespace ; fsType storagePolicyID
storagePolicyName volumePath ; awsElasticBlockStore:66 azureDisk:67 azureFile:68 cephfs:69 cinder:70 configMap:72
csi:73 downwardAPI:75 emptyDir:76 ephemeral:82 fc:83 flexVolume:84 flocker:85 gcePersistentDisk:86 gitRepo:87
glusterfs:88 hostPath:89 image:90 iscsi:91 name nfs:92 persistentVolumeClaim:93 photonPersistentDisk:94
portworxVolume:95 projected:102 quobyte:103 rbd:104 scaleIO:105 secret:106 storageos:107 vsphereVolume:108 ; name
podGroup podGroupReplicaKey ; activeDeadlineSeconds affinity:41 automountServiceAccountToken containers:56
dnsConfig:57 dnsPolicy enableServiceLinks ephemeralContainers:58 hostAliases:59 hostIPC hostNetwork hostPID hostUsers
hostname hostnameOverride imagePullSecrets:60 initContainers:56 nodeName nodeSelector os:60 overhead preemptionPolicy
priority priorityClassName readinessGates:61 resourceClaims:62 resources:11 restartPolicy runtimeClassName
schedulerName schedulingGates:60 securityContext:63 serviceAccount serviceAccountName setHostnameAsFQDN
shareProcessNamespace subdomain terminationGracePeriodSeconds tolerations:64 topologySpreadConstraints:65 volumes:109
workloadRef:110 ; metadata:21 spec:111 ; enableIngress headService:31 labels rayStartParams resources serviceType
template:112 ; type ; workersToDelete ; groupName idleTimeoutSeconds labels maxReplicas minReplicas numOfHosts
rayStartParams replicas resources scaleStrategy:115 suspend template:112 ; authOptions:1 autoscalerOptions:18
enableInTreeAutoscaling gcsFaultToleranceOptions:20 headGroupSpec:113 headServiceAnnotations managedBy rayVersion
suspend upgradeStrategy:114 workerGroupSpecs:116
"""
