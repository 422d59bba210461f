package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A process in a network of its own reaches the one outside.
func TestDialOutside(t *testing.T) {
	const addrEnv = "BENCH_DIAL_OUTSIDE"
	if addr := os.Getenv(addrEnv); addr != "" {
		if _, err := net.Dial("tcp", addr); err == nil {
			t.Error("the network inside is the one outside")
		}
		c, err := dialOutside(context.Background(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	outside, err := os.Open("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	cmd := exec.Command("/proc/self/exe", "-test.run", "^TestDialOutside$")
	cmd.Env = append(os.Environ(), addrEnv+"="+l.Addr().String())
	cmd.ExtraFiles = []*os.File{outside} // outsideNet
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}
