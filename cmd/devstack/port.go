package main

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/spf13/cobra"

	"devstack/engine/api"
)

func newPortCmd(e *env) *cobra.Command {
	var (
		protocol string
		index    int
	)
	cmd := &cobra.Command{
		Use:   "port [OPTIONS] SERVICE PRIVATE_PORT",
		Short: "Print the public port for a port binding",
		Args:  minArgs(2, "SERVICE", "PRIVATE_PORT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			port, err := strconv.ParseUint(args[1], 10, 16)
			if err != nil {
				return fmt.Errorf("invalid port %q", args[1])
			}
			return runPort(cmd.Context(), e, args[0], index, api.Port{ContainerPort: uint16(port), Protocol: protocol})
		},
		ValidArgsFunction: e.firstServiceName,
	}
	cmd.Flags().StringVar(&protocol, "protocol", "tcp", "tcp or udp")
	cmd.Flags().IntVar(&index, "index", 0, "Index of the container if service has multiple replicas")
	return cmd
}

func runPort(ctx context.Context, e *env, service string, index int, want api.Port) error {
	_, name, err := e.loadOrName(ctx, service)
	if err != nil {
		return err
	}
	containers, err := e.containers(ctx, api.PsRequest{Name: name, Services: []string{service}})
	if err != nil {
		return err
	}
	for _, c := range containers {
		if index != 0 && c.Number != index {
			continue
		}
		for _, p := range c.Ports {
			if p.ContainerPort == want.ContainerPort && p.Protocol == want.Protocol && p.HostPort != 0 {
				fmt.Fprintln(e.stdout, net.JoinHostPort(p.HostIP, strconv.Itoa(int(p.HostPort))))
				return nil
			}
		}
	}
	if len(containers) == 0 {
		return fmt.Errorf("service %q is not running", service)
	}
	return fmt.Errorf("no port %d/%s for container %s", want.ContainerPort, want.Protocol, containers[0].Name)
}
