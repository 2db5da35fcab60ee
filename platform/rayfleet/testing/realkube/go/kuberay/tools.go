//go:build tools

// Package tools pins the command that rayfleet.testing.realkube builds.
package tools

import (
	_ "github.com/ray-project/kuberay/ray-operator"
)
