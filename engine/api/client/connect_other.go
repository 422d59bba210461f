//go:build !linux

package client

import (
	"context"
	"fmt"
	"runtime"

	"devstack/engine/api"
)

func connect(context.Context, Options) (*conn, error) {
	return nil, &api.Error{
		Message: fmt.Sprintf("services run on Linux only, and this is %s", runtime.GOOS),
		Hint:    "use devstack in a Linux virtual machine, or in WSL 2",
	}
}

func ending(Options) (wait func(context.Context)) { return func(context.Context) {} }
