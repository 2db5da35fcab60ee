//go:build tools

// Package tools pins the command that rayfleet.testing.realkube builds.
package tools

import _ "helm.sh/helm/v3/cmd/helm"
