//go:build tools

// Package tools pins the commands that rayfleet.testing.realnode builds.
package tools

import _ "github.com/coredns/coredns"
