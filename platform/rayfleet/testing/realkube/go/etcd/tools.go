//go:build tools

// Package tools pins the command that rayfleet.testing.realkube builds.
package tools

import (
	_ "go.etcd.io/etcd/server/v3"
)
