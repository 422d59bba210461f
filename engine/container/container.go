package container

import (
	"os"

	"devstack/engine/cgroup"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Options configure a Runtime.
type Options struct {
	// CgroupRoot is the first component of the cgroups that Sweep may remove,
	// "devstack-<tag>". Required for Sweep.
	CgroupRoot string

	// Exe is the executable of the children, which must import package child
	// and be static. Empty: this program. For tests that are neither.
	Exe string
}

// Config is a container to create.
type Config struct {
	ID   string      // required: 64 hex digits
	Spec *specs.Spec // required
	Root RootFS      // instead of Spec.Root.Path

	// RootMount, if set, is used instead of mounting Root: see MountRoot. The
	// caller keeps and closes it.
	RootMount *os.File

	// The process's descriptors 0, 1 and 2; nil is /dev/null. Not used when
	// Process.Terminal. The caller keeps and closes them.
	Stdin, Stdout, Stderr *os.File

	Init  bool   // our reaper as pid 1
	Files []File // small files to mount, after Spec.Mounts
}

// File is a small file that appears at Path, from a private tmpfs: writable in
// the container, never part of its image or of the host.
type File struct {
	Path string
	Data []byte
	Mode os.FileMode // 0: 0644
	UID  int
	GID  int
}

// RootFS says what the root filesystem is made of.
type RootFS struct {
	// Dir is a plain directory to use as it is. Otherwise an overlay is mounted.
	Dir string
	// Lower has the layers, topmost first.
	Lower []string
	// Upper and Work are on one filesystem; both empty: a read-only overlay.
	Upper, Work string
	// Submounts are host paths of mounts below Lower's last, which appear at
	// the same place below the root, read-only with all that is below them.
	Submounts []string
}

// Exit is how a process ended.
type Exit struct {
	Code      int // as a shell shows it: 128 + signal for a signal
	Signal    int // 0 if it exited
	OOMKilled bool
}

// ExecConfig is a process to start in a running container.
type ExecConfig struct {
	Process *specs.Process // required
	// Stdin, Stdout, Stderr as in Config.
	Stdin, Stdout, Stderr *os.File
	// Unconfined leaves the container's seccomp filter out (privileged exec).
	Unconfined bool
}

// AdoptConfig identifies a container that another engine created.
type AdoptConfig struct {
	ID          string
	PID         int
	StartTime   uint64 // clock ticks since boot, as from Container.StartTime
	CgroupsPath string
	// Spec, if known, gives Exec the container's seccomp filter.
	Spec *specs.Spec
}

// Stats is the use of resources of one container.
type Stats = cgroup.Stats
