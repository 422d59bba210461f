package state

import (
	"time"

	"devstack/compose"
	"devstack/engine/api"
	"devstack/engine/image"
)

// RecordVersion is written into every record; a record of a later version is
// left alone and reported.
const RecordVersion = 1

// Project is what the engine knows of a project as a whole.
type Project struct {
	Version  int              `json:"version"`
	Name     string           `json:"name"`
	Declared *compose.Project `json:"declared"`
	Meta     api.Meta         `json:"meta"`
}

// Container is one container, running or not.
type Container struct {
	Version    int             `json:"version"`
	ID         string          `json:"id"` // 64 hex digits
	Name       string          `json:"name"`
	Project    string          `json:"project"`
	Service    string          `json:"service"`
	Number     int             `json:"number"`
	Generation int             `json:"generation"`
	OneOff     bool            `json:"one_off,omitempty"`
	AutoRemove bool            `json:"auto_remove,omitempty"`
	Declared   compose.Service `json:"declared"`
	Image      image.Image     `json:"image"`
	ConfigHash string          `json:"config_hash"`
	Created    time.Time       `json:"created"`
	// Replaces is the container beside which this one starts, until it takes over.
	Replaces string `json:"replaces,omitempty"`

	// Anonymous maps a container path to the volume made for it.
	Anonymous map[string]string `json:"anonymous,omitempty"`
	// MountImages are the images of mounts of type image, by container path.
	MountImages map[string]image.Image `json:"mount_images,omitempty"`
	Endpoints   []Endpoint             `json:"endpoints,omitempty"`
	Published   []api.Port             `json:"published,omitempty"`

	Run
}

// Run is the part of a Container that changes while it lives.
type Run struct {
	State     string    `json:"state"` // api.State*
	PID       int       `json:"pid,omitempty"`
	StartTime uint64    `json:"start_time,omitempty"` // clock ticks since boot, /proc/PID/stat field 22
	ExitCode  int       `json:"exit_code"`
	OOMKilled bool      `json:"oom_killed,omitempty"`
	Error     string    `json:"error,omitempty"`
	Health    string    `json:"health,omitempty"` // api.Health*
	Started   time.Time `json:"started,omitzero"`
	Finished  time.Time `json:"finished,omitzero"`
	Restarts  int       `json:"restarts,omitempty"`
	// Wanted tells whether the user wants it to run: false after `stop`.
	Wanted bool `json:"wanted"`
	// Exit is set from the process's end until all that it left is taken care of.
	Exit *Exit `json:"exit,omitempty"`
	// DropVolumes tells, in the state removing, that anonymous volumes go too.
	DropVolumes bool `json:"drop_volumes,omitempty"`
}

// Exit is how a process ended.
type Exit struct {
	Code      int  `json:"code"`
	OOMKilled bool `json:"oom_killed,omitempty"`
}

// Endpoint is a container's place on a network.
type Endpoint struct {
	Network string   `json:"network"` // the network's real name
	IPv4    string   `json:"ipv4,omitempty"`
	IPv6    string   `json:"ipv6,omitempty"`
	MAC     string   `json:"mac,omitempty"`
	IfName  string   `json:"if_name,omitempty"`
	Names   []string `json:"names,omitempty"` // what DNS answers for it
}
