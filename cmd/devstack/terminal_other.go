//go:build !unix

package main

import (
	"io"
	"os"

	"devstack/engine/api"
)

func forwarded() []os.Signal { return nil }

func watchSize(io.Writer) (<-chan api.TTYSize, func()) { return nil, func() {} }
