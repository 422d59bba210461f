package api

import "time"

// Names of the operations that look into containers and take copies of them.
const (
	OpPause    = "pause"
	OpUnpause  = "unpause"
	OpTop      = "top"
	OpStats    = "stats"
	OpVolumes  = "volumes"
	OpCommit   = "commit"
	OpExport   = "export"    // duplex: the archive is the session's stdout
	OpCopyFrom = "copy-from" // duplex: likewise
	OpCopyTo   = "copy-to"   // duplex: the archive is the session's stdin
)

// TopRequest asks for the processes of running containers.
type TopRequest struct {
	Name     string   `json:"name"`
	Services []string `json:"services,omitempty"`
}

// TopContainer is one container and its processes.
type TopContainer struct {
	Container string    `json:"container"`
	Service   string    `json:"service"`
	Number    int       `json:"number"`
	OneOff    bool      `json:"one_off,omitempty"`
	Processes []Process `json:"processes"`
}

// Process is one process as `ps -ef` of the host tells of it.
type Process struct {
	User    string        `json:"user"` // a name of the host's, or the number
	PID     int           `json:"pid"`  // the host's
	Parent  int           `json:"ppid"`
	CPU     int           `json:"cpu"` // percent of its life
	Started time.Time     `json:"started"`
	TTY     string        `json:"tty"`  // "?" without one
	Time    time.Duration `json:"time"` // on the CPU
	Command string        `json:"command"`
}

// StatsRequest asks for one sample of what containers use.
type StatsRequest struct {
	Name     string   `json:"name"` // "": all projects
	Services []string `json:"services,omitempty"`
	All      bool     `json:"all,omitempty"` // stopped ones too
}

// ContainerStats is a sample; counters count from the container's start.
type ContainerStats struct {
	ID          string    `json:"id"`
	Project     string    `json:"project"`
	Name        string    `json:"name"`
	Service     string    `json:"service"`
	Running     bool      `json:"running"`
	Time        time.Time `json:"time"`
	CPU         uint64    `json:"cpu"`          // nanoseconds
	Memory      uint64    `json:"memory"`       // bytes, without the page cache that can go
	MemoryLimit uint64    `json:"memory_limit"` // bytes; the machine's memory where there is no limit
	NetRx       uint64    `json:"net_rx"`       // bytes
	NetTx       uint64    `json:"net_tx"`       // bytes
	BlockRead   uint64    `json:"block_read"`   // bytes
	BlockWrite  uint64    `json:"block_write"`  // bytes
	PIDs        uint64    `json:"pids"`
}

// VolumesRequest asks for the volumes of a project; with Services for those
// that their containers have.
type VolumesRequest struct {
	Name     string   `json:"name"`
	Services []string `json:"services,omitempty"`
}

// Volume is one volume.
type Volume struct {
	Name       string            `json:"name"`
	Driver     string            `json:"driver"`
	Mountpoint string            `json:"mountpoint,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	Created    time.Time         `json:"created"`
}

// CommitRequest makes an image of a container.
type CommitRequest struct {
	Name    string   `json:"name"`
	Service string   `json:"service"`
	Index   int      `json:"index,omitempty"`
	Ref     string   `json:"ref,omitempty"`
	Author  string   `json:"author,omitempty"`
	Message string   `json:"message,omitempty"`
	Changes []string `json:"changes,omitempty"` // instructions of a Dockerfile
	Pause   bool     `json:"pause,omitempty"`
}

// CommitResult names the new image.
type CommitResult struct {
	ID        string `json:"id"`
	Container string `json:"container"`
}

// ExportRequest asks for the files of a container.
type ExportRequest struct {
	Name    string `json:"name"`
	Service string `json:"service"`
	Index   int    `json:"index,omitempty"`
}

// CopyRequest copies files out of a container or into containers.
//
// Out: the archive holds the file or directory at Path and what is below it,
// under its own name. In: without Source the archive is unpacked in the
// directory Path. With Source, the name of its one entry at the top, that goes to
// Path as `cp` would do it: into a directory that is there, else in its place.
type CopyRequest struct {
	Name       string `json:"name"`
	Service    string `json:"service"`
	Index      int    `json:"index,omitempty"`
	All        bool   `json:"all,omitempty"` // containers of `run` too
	Path       string `json:"path"`
	Source     string `json:"source,omitempty"`
	Contents   bool   `json:"contents,omitempty"` // of the source, which is a directory
	FollowLink bool   `json:"follow_link,omitempty"`
	Archive    bool   `json:"archive,omitempty"` // keep owners
}
