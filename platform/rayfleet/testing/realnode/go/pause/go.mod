// The process that holds a pod's namespaces: it waits, reaps what its pod leaves to it, and ends when told.
module rayfleet.testing/pause

go 1.26.0
