package api

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"devstack/compose"
)

// Protocol counts incompatible changes of this package.
const Protocol = 1

// Names of the operations; the path of OP is /v1/OP.
const (
	OpVersion  = "version"
	OpStatus   = "status"
	OpShutdown = "shutdown"
	OpUp       = "up"
	OpDown     = "down"
	OpStart    = "start"
	OpStop     = "stop"
	OpRestart  = "restart"
	OpKill     = "kill"
	OpRemove   = "remove"
	OpPs       = "ps"
	OpLs       = "ls"
	OpLogs     = "logs"
	OpWait     = "wait"
	OpPull     = "pull"
	OpEvents   = "events"
	OpExec     = "exec"
	OpRun      = "run"
	OpAttach   = "attach"
)

// Message is one line of an operation's answer. Exactly one field is set.
type Message struct {
	Progress *Progress       `json:"progress,omitempty"`
	Notice   *Notice         `json:"notice,omitempty"`
	Log      *LogLine        `json:"log,omitempty"`
	Event    *Event          `json:"event,omitempty"`
	Watch    *WatchReport    `json:"watch,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Error    *Error          `json:"error,omitempty"`
}

// State of a Progress.
const (
	Working = "working"
	Done    = "done"
	Warning = "warning"
	Failed  = "error"
)

// Building is the Text of an image whose build begins.
const Building = "Building"

// Progress says how far one object has come.
type Progress struct {
	// ID names the object as Compose does: "Container shop-web-1",
	// "Network shop_default", "Volume shop_data", "Image redis:7".
	ID     string `json:"id"`
	Parent string `json:"parent,omitempty"` // a layer's image
	State  string `json:"state"`
	// Text is one word or two: "Creating", "Created", "Starting", "Started",
	// "Waiting", "Healthy", "Exited", "Stopping", "Stopped", "Removing",
	// "Removed", "Running", "Pulling", "Pulled", "Downloading", ...
	Text   string `json:"text"`
	Detail string `json:"detail,omitempty"` // the cause, or an error
	// Log says that Detail is a line which the step ID of a build printed.
	Log     bool  `json:"log,omitempty"`
	Current int64 `json:"current,omitempty"` // bytes
	Total   int64 `json:"total,omitempty"`   // bytes
}

// Notice is a line for the user that is not tied to an object's progress.
type Notice struct {
	Level string `json:"level"` // "info", "warning"
	Text  string `json:"text"`
	// Excerpt are lines of a file that Text is about.
	Excerpt []string `json:"excerpt,omitempty"`
	Of      string   `json:"of,omitempty"` // the ID of the Progress it belongs to
}

// Error is a failed operation as the client shows it.
type Error struct {
	Message string   `json:"message"`
	Service string   `json:"service,omitempty"`
	Hint    string   `json:"hint,omitempty"`
	Detail  []string `json:"detail,omitempty"` // last log lines, probe output
	// Path names the value of the project file that is at fault (see
	// compose.Path); the client turns it into file:line:col.
	Path string `json:"path,omitempty"`
	// Code is the exit code the client should end with; 0 means 1.
	Code int `json:"code,omitempty"`
	// Others are further faults of the same operation.
	Others []Error `json:"others,omitempty"`
}

func (e *Error) Error() string {
	if e.Service != "" {
		return "service " + e.Service + ": " + e.Message
	}
	return e.Message
}

// VersionRequest opens every conversation.
type VersionRequest struct {
	Version  string `json:"version"`
	Protocol int    `json:"protocol"`
}

// VersionResult is the engine's answer.
type VersionResult struct {
	Version  string `json:"version"`
	Protocol int    `json:"protocol"`
	PID      int    `json:"pid"`
	// Build identifies the binary (its size and modification time), so that a
	// client of another build can restart the engine in place.
	Build string `json:"build"`
}

// StatusResult describes the engine.
type StatusResult struct {
	Version    string    `json:"version"`
	PID        int       `json:"pid"`
	GuardPID   int       `json:"guard_pid"`
	Started    time.Time `json:"started"`
	Generation int       `json:"generation"` // how often the guard has started an engine
	Adopted    int       `json:"adopted"`    // containers taken over from the engine before
	Projects   int       `json:"projects"`
	Containers int       `json:"containers"`
	DataRoot   string    `json:"data_root"`
	RunRoot    string    `json:"run_root"`
}

// ShutdownRequest ends the engine. Without Force it refuses while anything
// runs. Restart asks the guard for a new engine in place.
type ShutdownRequest struct {
	Force   bool `json:"force,omitempty"`
	Restart bool `json:"restart,omitempty"`
	// Exe is the binary of the new engine; empty: the same again.
	Exe string `json:"exe,omitempty"`
}

// UpRequest asks for a project to be as declared.
type UpRequest struct {
	Project            *compose.Project  `json:"project"`
	Meta               Meta              `json:"meta"`
	Services           []string          `json:"services,omitempty"` // empty: all
	NoDeps             bool              `json:"no_deps,omitempty"`
	NoStart            bool              `json:"no_start,omitempty"`
	ForceRecreate      bool              `json:"force_recreate,omitempty"`
	NoRecreate         bool              `json:"no_recreate,omitempty"`
	AlwaysRecreateDeps bool              `json:"always_recreate_deps,omitempty"`
	RenewAnonVolumes   bool              `json:"renew_anon_volumes,omitempty"`
	RemoveOrphans      bool              `json:"remove_orphans,omitempty"`
	IgnoreOrphans      bool              `json:"ignore_orphans,omitempty"` // say nothing of them
	Separator          string            `json:"separator,omitempty"`      // in names of new containers; "": a hyphen
	Parallel           int               `json:"parallel,omitempty"`       // most operations at once; 0: no limit
	Scale              map[string]int    `json:"scale,omitempty"`
	Build              bool              `json:"build,omitempty"`    // even if the image is there
	NoBuild            bool              `json:"no_build,omitempty"` // even if it is not
	Pull               string            `json:"pull,omitempty"`     // always, missing, never, policy
	Wait               bool              `json:"wait,omitempty"`
	WaitTimeout        compose.Duration  `json:"wait_timeout,omitempty"`
	Timeout            *compose.Duration `json:"timeout,omitempty"` // stop timeout
	DryRun             bool              `json:"dry_run,omitempty"`
	Credentials        Credentials       `json:"credentials,omitzero"`
	Lock               *Lock             `json:"lock,omitempty"`
	Edit               bool              `json:"-"` // see ServiceRequest
	// NoFollow leaves dependents that restart with a service to the caller.
	NoFollow bool `json:"-"`
}

// Meta is what the engine records of where a project came from.
type Meta struct {
	WorkingDir  string   `json:"working_dir"`
	ConfigFiles []string `json:"config_files"`
	EnvFiles    []string `json:"env_files,omitempty"`
	// Disabled are the declared services that the active profiles leave out:
	// their containers are no orphans.
	Disabled []string `json:"disabled,omitempty"`
	// Provided is what providers have set when a client asked them, by service.
	Provided map[string]Provided `json:"provided,omitempty"`
}

// Provided is the answer of a service's provider.
type Provided struct {
	Provider  compose.Provider   `json:"provider"` // that was asked
	Variables []ProvidedVariable `json:"variables,omitempty"`
}

// ProvidedVariable is for the services that depend on the provider's: as
// SERVICE_KEY, or as it is.
type ProvidedVariable struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	Raw   bool   `json:"raw,omitempty"`
}

// MetaOf is what is recorded of a project and the env files it was loaded with.
func MetaOf(p *compose.Project, envFiles []string) Meta {
	return Meta{
		WorkingDir: p.WorkingDir, ConfigFiles: p.Files, EnvFiles: envFiles,
		Disabled: slices.Sorted(maps.Keys(p.Disabled)),
	}
}

// UpResult lists what the request was about. Plan is the plan's text when
// DryRun asked for it, and Changes says whether that does anything.
type UpResult struct {
	Containers []Container `json:"containers,omitempty"`
	Plan       string      `json:"plan,omitempty"`
	Changes    bool        `json:"changes,omitempty"`
}

// DownRequest removes what a project has. Project may be nil: then all that
// the engine knows under Name goes.
type DownRequest struct {
	Name          string            `json:"name"`
	Project       *compose.Project  `json:"project,omitempty"`
	Services      []string          `json:"services,omitempty"`
	Volumes       bool              `json:"volumes,omitempty"`
	Images        string            `json:"images,omitempty"` // "", local, all
	RemoveOrphans bool              `json:"remove_orphans,omitempty"`
	Timeout       *compose.Duration `json:"timeout,omitempty"`
	DryRun        bool              `json:"dry_run,omitempty"`
}

// ServiceRequest is the body of start, stop, restart, kill and remove.
type ServiceRequest struct {
	Name     string            `json:"name"` // project
	Project  *compose.Project  `json:"project,omitempty"`
	Services []string          `json:"services,omitempty"` // empty: all
	Timeout  *compose.Duration `json:"timeout,omitempty"`
	Signal   string            `json:"signal,omitempty"`  // kill
	NoDeps   bool              `json:"no_deps,omitempty"` // restart
	Wait     bool              `json:"wait,omitempty"`    // start
	Stop     bool              `json:"stop,omitempty"`    // remove: stop first
	Volumes  bool              `json:"volumes,omitempty"` // remove: anonymous volumes too
	// Edit says that a saved file is the reason for a restart: a process that
	// cannot hear its stop signal is killed without its grace.
	Edit bool `json:"-"`
	// RemoveOrphans makes kill remove the containers of undeclared services.
	RemoveOrphans bool `json:"remove_orphans,omitempty"`
}

// PsRequest asks for the containers of a project ("" = all projects).
type PsRequest struct {
	Name     string   `json:"name,omitempty"`
	Services []string `json:"services,omitempty"`
	All      bool     `json:"all,omitempty"` // stopped ones too
	Orphans  bool     `json:"orphans,omitempty"`
}

// States of a container.
const (
	StateCreated    = "created"
	StateRunning    = "running"
	StatePaused     = "paused"
	StateRestarting = "restarting"
	StateExited     = "exited"
	StateRemoving   = "removing"
)

// Health of a container; empty where no healthcheck is declared.
const (
	HealthStarting  = "starting"
	HealthHealthy   = "healthy"
	HealthUnhealthy = "unhealthy"
)

// Container is one container as it is observed.
type Container struct {
	ID          string            `json:"id"` // 64 hex digits
	Name        string            `json:"name"`
	Project     string            `json:"project"`
	Service     string            `json:"service"`
	Number      int               `json:"number"`
	Generation  int               `json:"generation"`
	OneOff      bool              `json:"one_off,omitempty"`
	Image       string            `json:"image"`
	ImageDigest string            `json:"image_digest,omitempty"`
	Command     []string          `json:"command"`
	State       string            `json:"state"`
	Health      string            `json:"health,omitempty"`
	ExitCode    int               `json:"exit_code"`
	OOMKilled   bool              `json:"oom_killed,omitempty"`
	Error       string            `json:"error,omitempty"`
	PID         int               `json:"pid,omitempty"`
	Restarts    int               `json:"restarts,omitempty"`
	Created     time.Time         `json:"created"`
	Started     time.Time         `json:"started,omitzero"`
	Finished    time.Time         `json:"finished,omitzero"`
	Ports       []Port            `json:"ports,omitempty"`
	Networks    []Endpoint        `json:"networks,omitempty"`
	Mounts      []string          `json:"mounts,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	ConfigHash  string            `json:"config_hash,omitempty"`
	Watched     bool              `json:"watched,omitempty"` // a detached watch acts on its service
}

// Port is one port of a container. HostPort 0 means exposed, not published.
type Port struct {
	HostIP        string `json:"host_ip,omitempty"`
	HostPort      uint16 `json:"host_port,omitempty"`
	ContainerPort uint16 `json:"container_port"`
	Protocol      string `json:"protocol"` // tcp, udp
}

// Endpoint is a container's place on a network.
type Endpoint struct {
	Network string   `json:"network"`
	IPv4    string   `json:"ipv4,omitempty"`
	IPv6    string   `json:"ipv6,omitempty"`
	MAC     string   `json:"mac,omitempty"`
	Aliases []string `json:"aliases,omitempty"`
}

// LsResult is one project in `devstack ls`.
type LsResult struct {
	Name        string         `json:"name"`
	Status      map[string]int `json:"status"` // state -> number of containers
	ConfigFiles []string       `json:"config_files"`
}

// LogsRequest asks for log lines. With Follow the stream goes on until every
// named container is gone, or the client is.
type LogsRequest struct {
	Name       string    `json:"name"`
	Services   []string  `json:"services,omitempty"`
	Containers []string  `json:"containers,omitempty"` // names; with Services: the union
	Index      int       `json:"index,omitempty"`
	Follow     bool      `json:"follow,omitempty"`
	Tail       int       `json:"tail"` // -1: all
	Since      time.Time `json:"since,omitzero"`
	Until      time.Time `json:"until,omitzero"`
	// Attach makes the stream end when all containers have exited for good and
	// adds Event messages (start, die, ...), which foreground `up` prints.
	Attach bool `json:"attach,omitempty"`
}

// LogLine is one line a container wrote, without its newline.
type LogLine struct {
	Container string    `json:"container"` // "web-1"
	Service   string    `json:"service"`
	Number    int       `json:"number"`
	Stream    string    `json:"stream"` // stdout, stderr
	Time      time.Time `json:"time"`
	Text      string    `json:"text"`
}

// Event is a change of state.
type Event struct {
	Time       time.Time         `json:"time"`
	Type       string            `json:"type"`   // container, network, volume, image, engine
	Action     string            `json:"action"` // create, start, die, stop, kill, destroy, health_status, restart, oom, pull, ...
	Project    string            `json:"project,omitempty"`
	Service    string            `json:"service,omitempty"`
	Container  string            `json:"container,omitempty"` // name
	ID         string            `json:"id,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"` // exitCode, health, cause, ...
}

// EventsRequest follows events, of one project or of all.
type EventsRequest struct {
	Name     string    `json:"name,omitempty"`
	Services []string  `json:"services,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Until    time.Time `json:"until,omitzero"`
}

// WaitRequest waits for the containers of services to exit.
type WaitRequest struct {
	Name     string   `json:"name"`
	Services []string `json:"services,omitempty"`
	// Any ends the wait with the first container that exits.
	Any bool `json:"any,omitempty"`
}

// WaitResult is the exits in the order in which they came.
type WaitResult struct {
	Exits []Exit `json:"exits"`
}

// Exit is the end of one container.
type Exit struct {
	ID        string `json:"id,omitempty"`
	Container string `json:"container"` // name
	Service   string `json:"service"`
	Code      int    `json:"code"`
}

// PullRequest pulls the images of services.
type PullRequest struct {
	Project        *compose.Project `json:"project"`
	Services       []string         `json:"services,omitempty"`
	Policy         string           `json:"policy,omitempty"` // always, missing; "" is each service's
	IgnoreFailures bool             `json:"ignore_failures,omitempty"`
	IncludeDeps    bool             `json:"include_deps,omitempty"`
	WorkingDir     string           `json:"working_dir,omitempty"` // of the project
	// IgnoreBuildable leaves alone what can be built.
	IgnoreBuildable bool        `json:"ignore_buildable,omitempty"`
	Credentials     Credentials `json:"credentials,omitzero"`
	Lock            *Lock       `json:"lock,omitempty"`
}

// ExecRequest runs a command in a running container.
type ExecRequest struct {
	Name       string   `json:"name"`
	Service    string   `json:"service"`
	Index      int      `json:"index,omitempty"` // 0: the first
	Command    []string `json:"command"`
	User       string   `json:"user,omitempty"`
	WorkingDir string   `json:"working_dir,omitempty"`
	Env        []string `json:"env,omitempty"`
	Privileged bool     `json:"privileged,omitempty"`
	TTY        bool     `json:"tty,omitempty"`
	Stdin      bool     `json:"stdin,omitempty"`
	Detach     bool     `json:"detach,omitempty"`
	Size       TTYSize  `json:"size,omitzero"`
}

// RunRequest runs a one-off container of a service.
type RunRequest struct {
	Project       *compose.Project `json:"project"` // overrides already applied to the service
	Meta          Meta             `json:"meta"`
	Service       string           `json:"service"`
	ContainerName string           `json:"container_name,omitempty"`
	Remove        bool             `json:"remove,omitempty"`
	NoDeps        bool             `json:"no_deps,omitempty"`
	NoRecreate    bool             `json:"no_recreate,omitempty"` // of dependencies
	Separator     string           `json:"separator,omitempty"`   // as of an UpRequest
	UseAliases    bool             `json:"use_aliases,omitempty"`
	RemoveOrphans bool             `json:"remove_orphans,omitempty"`
	IgnoreOrphans bool             `json:"ignore_orphans,omitempty"`
	TTY           bool             `json:"tty,omitempty"`
	Stdin         bool             `json:"stdin,omitempty"`
	Detach        bool             `json:"detach,omitempty"`
	Pull          string           `json:"pull,omitempty"`
	Build         bool             `json:"build,omitempty"` // even if the images are there
	Size          TTYSize          `json:"size,omitzero"`
	Credentials   Credentials      `json:"credentials,omitzero"`
	Lock          *Lock            `json:"lock,omitempty"`
}

// AttachRequest joins the standard streams of a running container.
type AttachRequest struct {
	Name     string  `json:"name"`
	Service  string  `json:"service"`
	Index    int     `json:"index,omitempty"`
	NoStdin  bool    `json:"no_stdin,omitempty"`
	SigProxy bool    `json:"sig_proxy,omitempty"`
	Size     TTYSize `json:"size,omitzero"`
}

// TTYSize is a terminal's size in characters.
type TTYSize struct {
	Rows uint16 `json:"rows"`
	Cols uint16 `json:"cols"`
}
