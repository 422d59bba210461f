package compose

import (
	"cmp"
	"path/filepath"
)

// Service is one declared service, with every key of the Compose
// Specification; see https://github.com/compose-spec/compose-spec/blob/main/05-services.md.
// A nil Command or Entrypoint means "the image's own"; an empty non-nil one
// clears it.
type Service struct {
	Name string `json:"-"`

	Annotations       map[string]string          `json:"annotations,omitempty"`
	Attach            *bool                      `json:"attach,omitempty"`
	BlkioConfig       *BlkioConfig               `json:"blkio_config,omitempty"`
	Build             *Build                     `json:"build,omitempty"`
	CapAdd            []string                   `json:"cap_add,omitempty"`
	CapDrop           []string                   `json:"cap_drop,omitempty"`
	Cgroup            string                     `json:"cgroup,omitempty"`
	CgroupParent      string                     `json:"cgroup_parent,omitempty"`
	Command           []string                   `json:"command"`
	Configs           []FileReference            `json:"configs,omitempty"`
	ContainerName     string                     `json:"container_name,omitempty"`
	CPUCount          int64                      `json:"cpu_count,omitempty"`
	CPUPercent        float32                    `json:"cpu_percent,omitempty"`
	CPUPeriod         int64                      `json:"cpu_period,omitempty"`     // µs
	CPUQuota          int64                      `json:"cpu_quota,omitempty"`      // µs
	CPURTPeriod       int64                      `json:"cpu_rt_period,omitempty"`  // µs
	CPURTRuntime      int64                      `json:"cpu_rt_runtime,omitempty"` // µs
	CPUShares         int64                      `json:"cpu_shares,omitempty"`
	CPUs              float32                    `json:"cpus,omitempty"`
	CPUSet            string                     `json:"cpuset,omitempty"`
	CredentialSpec    *CredentialSpec            `json:"credential_spec,omitempty"`
	DependsOn         map[string]Dependency      `json:"depends_on,omitempty"`
	Deploy            *Deploy                    `json:"deploy,omitempty"`
	Develop           *Develop                   `json:"develop,omitempty"`
	DeviceCgroupRules []string                   `json:"device_cgroup_rules,omitempty"`
	Devices           []Device                   `json:"devices,omitempty"`
	DNS               []string                   `json:"dns,omitempty"`
	DNSOpt            []string                   `json:"dns_opt,omitempty"`
	DNSSearch         []string                   `json:"dns_search,omitempty"`
	DomainName        string                     `json:"domainname,omitempty"`
	Entrypoint        []string                   `json:"entrypoint"`
	EnvFile           []EnvFile                  `json:"env_file,omitempty"`
	Environment       Mapping                    `json:"environment,omitempty"` // env_file already merged in
	Expose            []string                   `json:"expose,omitempty"`
	Extends           *Extends                   `json:"extends,omitempty"`
	ExternalLinks     []string                   `json:"external_links,omitempty"`
	ExtraHosts        map[string][]string        `json:"extra_hosts,omitempty"`
	GPUs              []DeviceRequest            `json:"gpus,omitempty"`
	GroupAdd          []string                   `json:"group_add,omitempty"`
	Healthcheck       *Healthcheck               `json:"healthcheck,omitempty"`
	Hostname          string                     `json:"hostname,omitempty"`
	Image             string                     `json:"image,omitempty"`
	Init              *bool                      `json:"init,omitempty"`
	IPC               string                     `json:"ipc,omitempty"`
	Isolation         string                     `json:"isolation,omitempty"`
	LabelFile         []string                   `json:"label_file,omitempty"`
	Labels            map[string]string          `json:"labels,omitempty"`
	Links             []string                   `json:"links,omitempty"`
	Logging           *Logging                   `json:"logging,omitempty"`
	MacAddress        string                     `json:"mac_address,omitempty"`
	MemLimit          Bytes                      `json:"mem_limit,omitempty"`
	MemReservation    Bytes                      `json:"mem_reservation,omitempty"`
	MemSwapLimit      Bytes                      `json:"memswap_limit,omitempty"`
	MemSwappiness     *int64                     `json:"mem_swappiness,omitempty"` // 0-100
	Models            map[string]*ServiceModel   `json:"models,omitempty"`
	NetworkMode       string                     `json:"network_mode,omitempty"`
	Networks          map[string]*ServiceNetwork `json:"networks,omitempty"`
	OOMKillDisable    bool                       `json:"oom_kill_disable,omitempty"`
	OOMScoreAdj       int64                      `json:"oom_score_adj,omitempty"`
	PID               string                     `json:"pid,omitempty"`
	PidsLimit         int64                      `json:"pids_limit,omitempty"`
	Platform          string                     `json:"platform,omitempty"`
	Ports             []Port                     `json:"ports,omitempty"`
	PostStart         []Hook                     `json:"post_start,omitempty"`
	PreStart          []InitContainer            `json:"pre_start,omitempty"`
	PreStop           []Hook                     `json:"pre_stop,omitempty"`
	Privileged        bool                       `json:"privileged,omitempty"`
	Profiles          []string                   `json:"profiles,omitempty"`
	Provider          *Provider                  `json:"provider,omitempty"`
	PullPolicy        string                     `json:"pull_policy,omitempty"`
	PullRefreshAfter  string                     `json:"pull_refresh_after,omitempty"`
	ReadOnly          bool                       `json:"read_only,omitempty"`
	Restart           string                     `json:"restart,omitempty"`
	Runtime           string                     `json:"runtime,omitempty"`
	Scale             *int                       `json:"scale,omitempty"`
	Secrets           []FileReference            `json:"secrets,omitempty"`
	SecurityOpt       []string                   `json:"security_opt,omitempty"`
	ShmSize           Bytes                      `json:"shm_size,omitempty"`
	StdinOpen         bool                       `json:"stdin_open,omitempty"`
	StopGracePeriod   *Duration                  `json:"stop_grace_period,omitempty"`
	StopSignal        string                     `json:"stop_signal,omitempty"`
	StorageOpt        map[string]string          `json:"storage_opt,omitempty"`
	Sysctls           map[string]string          `json:"sysctls,omitempty"`
	Tmpfs             []string                   `json:"tmpfs,omitempty"`
	TTY               bool                       `json:"tty,omitempty"`
	Ulimits           map[string]Ulimit          `json:"ulimits,omitempty"`
	Umask             *uint32                    `json:"umask,omitempty"`
	UseAPISocket      bool                       `json:"use_api_socket,omitempty"`
	User              string                     `json:"user,omitempty"`
	UsernsMode        string                     `json:"userns_mode,omitempty"`
	UTS               string                     `json:"uts,omitempty"`
	Volumes           []Mount                    `json:"volumes,omitempty"`
	VolumesFrom       []string                   `json:"volumes_from,omitempty"`
	WorkingDir        string                     `json:"working_dir,omitempty"`
	Extensions        Extensions                 `json:"#extensions,omitempty"`
}

// What a project may have at most: more than any machine runs, and less than
// what planning could not hold in memory.
const (
	MaxReplicas    = 5000 // of one service
	MaxProjectName = 128  // bytes: names of containers and networks begin with it
)

// Replicas is how many containers the service asks for: scale, else
// deploy.replicas, else 1.
func (s *Service) Replicas() int {
	if s.Scale != nil {
		return *s.Scale
	}
	if s.Deploy != nil && s.Deploy.Replicas != nil {
		return *s.Deploy.Replicas
	}
	return 1
}

// Conditions of a Dependency.
const (
	ConditionStarted   = "service_started"
	ConditionHealthy   = "service_healthy"
	ConditionCompleted = "service_completed_successfully"
)

// Dependency is one entry of depends_on in its long form.
type Dependency struct {
	Condition  string     `json:"condition"`
	Restart    bool       `json:"restart,omitempty"`
	Required   bool       `json:"required"`
	Extensions Extensions `json:"#extensions,omitempty"`
}

// Build is the build section of a service.
type Build struct {
	Context            string              `json:"context,omitempty"`
	Dockerfile         string              `json:"dockerfile,omitempty"`
	DockerfileInline   string              `json:"dockerfile_inline,omitempty"`
	Entitlements       []string            `json:"entitlements,omitempty"`
	Args               Mapping             `json:"args,omitempty"`
	Provenance         string              `json:"provenance,omitempty"`
	SBOM               string              `json:"sbom,omitempty"`
	SSH                []SSHKey            `json:"ssh,omitempty"`
	Labels             map[string]string   `json:"labels,omitempty"`
	CacheFrom          []string            `json:"cache_from,omitempty"`
	CacheTo            []string            `json:"cache_to,omitempty"`
	NoCache            bool                `json:"no_cache,omitempty"`
	NoCacheFilter      []string            `json:"no_cache_filter,omitempty"`
	AdditionalContexts map[string]string   `json:"additional_contexts,omitempty"`
	Pull               bool                `json:"pull,omitempty"`
	ExtraHosts         map[string][]string `json:"extra_hosts,omitempty"`
	Isolation          string              `json:"isolation,omitempty"`
	Network            string              `json:"network,omitempty"`
	Target             string              `json:"target,omitempty"`
	Secrets            []FileReference     `json:"secrets,omitempty"`
	ShmSize            Bytes               `json:"shm_size,omitempty"`
	Tags               []string            `json:"tags,omitempty"`
	Ulimits            map[string]Ulimit   `json:"ulimits,omitempty"`
	Platforms          []string            `json:"platforms,omitempty"`
	Privileged         bool                `json:"privileged,omitempty"`
	Extensions         Extensions          `json:"#extensions,omitempty"`
}

// DockerfilePath is where the Dockerfile of a context that is a directory is.
func (b *Build) DockerfilePath() string {
	name := cmp.Or(b.Dockerfile, "Dockerfile")
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(b.Context, name)
}

// SSHKey is an SSH agent socket or key offered to a build.
type SSHKey struct {
	ID   string `json:"id,omitempty"`
	Path string `json:"path,omitempty"`
}

// BlkioConfig limits block I/O.
type BlkioConfig struct {
	Weight          uint16          `json:"weight,omitempty"`
	WeightDevice    []WeightDevice  `json:"weight_device,omitempty"`
	DeviceReadBps   []ThrottleLimit `json:"device_read_bps,omitempty"`
	DeviceReadIOps  []ThrottleLimit `json:"device_read_iops,omitempty"`
	DeviceWriteBps  []ThrottleLimit `json:"device_write_bps,omitempty"`
	DeviceWriteIOps []ThrottleLimit `json:"device_write_iops,omitempty"`
	Extensions      Extensions      `json:"#extensions,omitempty"`
}

// WeightDevice is the I/O weight (10-1000) of one device.
type WeightDevice struct {
	Path       string     `json:"path,omitempty"`
	Weight     uint16     `json:"weight,omitempty"`
	Extensions Extensions `json:"#extensions,omitempty"`
}

// ThrottleLimit is a rate (bytes or operations a second) of one device.
type ThrottleLimit struct {
	Path       string     `json:"path,omitempty"`
	Rate       Bytes      `json:"rate,omitempty"`
	Extensions Extensions `json:"#extensions,omitempty"`
}

// CredentialSpec is a Windows gMSA credential.
type CredentialSpec struct {
	Config     string     `json:"config,omitempty"`
	File       string     `json:"file,omitempty"`
	Registry   string     `json:"registry,omitempty"`
	Extensions Extensions `json:"#extensions,omitempty"`
}

// Deploy is the deploy section of a service.
type Deploy struct {
	Mode           string            `json:"mode,omitempty"`
	Replicas       *int              `json:"replicas,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"`
	UpdateConfig   *UpdateConfig     `json:"update_config,omitempty"`
	RollbackConfig *UpdateConfig     `json:"rollback_config,omitempty"`
	Resources      Resources         `json:"resources"`
	RestartPolicy  *RestartPolicy    `json:"restart_policy,omitempty"`
	Placement      Placement         `json:"placement"`
	EndpointMode   string            `json:"endpoint_mode,omitempty"`
	Extensions     Extensions        `json:"#extensions,omitempty"`
}

// Resources are the limits and reservations of a service.
type Resources struct {
	Limits       *Resource  `json:"limits,omitempty"`
	Reservations *Resource  `json:"reservations,omitempty"`
	Extensions   Extensions `json:"#extensions,omitempty"`
}

// Resource is one set of amounts.
type Resource struct {
	CPUs             float32           `json:"cpus,omitempty"`
	Memory           Bytes             `json:"memory,omitempty"`
	Pids             int64             `json:"pids,omitempty"`
	Devices          []DeviceRequest   `json:"devices,omitempty"`
	GenericResources []GenericResource `json:"generic_resources,omitempty"`
	Extensions       Extensions        `json:"#extensions,omitempty"`
}

// GenericResource is a user-defined amount (swarm).
type GenericResource struct {
	DiscreteResourceSpec *DiscreteResource `json:"discrete_resource_spec,omitempty"`
	Extensions           Extensions        `json:"#extensions,omitempty"`
}

// DiscreteResource is a counted resource (swarm).
type DiscreteResource struct {
	Kind       string     `json:"kind"`
	Value      int64      `json:"value"`
	Extensions Extensions `json:"#extensions,omitempty"`
}

// UpdateConfig says how a new generation replaces the old one.
type UpdateConfig struct {
	Parallelism     *uint64    `json:"parallelism,omitempty"`
	Delay           Duration   `json:"delay,omitempty"`
	FailureAction   string     `json:"failure_action,omitempty"`
	Monitor         Duration   `json:"monitor,omitempty"`
	MaxFailureRatio float32    `json:"max_failure_ratio,omitempty"`
	Order           string     `json:"order,omitempty"` // stop-first, start-first
	Extensions      Extensions `json:"#extensions,omitempty"`
}

// RestartPolicy is deploy.restart_policy.
type RestartPolicy struct {
	Condition   string     `json:"condition,omitempty"` // none, on-failure, any
	Delay       *Duration  `json:"delay,omitempty"`
	MaxAttempts *uint64    `json:"max_attempts,omitempty"`
	Window      *Duration  `json:"window,omitempty"`
	Extensions  Extensions `json:"#extensions,omitempty"`
}

// Placement is a swarm notion; it has no effect here.
type Placement struct {
	Constraints []string              `json:"constraints,omitempty"`
	Preferences []PlacementPreference `json:"preferences,omitempty"`
	MaxReplicas uint64                `json:"max_replicas_per_node,omitempty"`
	Extensions  Extensions            `json:"#extensions,omitempty"`
}

// PlacementPreference is a swarm notion.
type PlacementPreference struct {
	Spread     string     `json:"spread,omitempty"`
	Extensions Extensions `json:"#extensions,omitempty"`
}

// Develop is the develop section.
type Develop struct {
	Watch      []WatchRule `json:"watch"`
	Extensions Extensions  `json:"#extensions,omitempty"`
}

// WatchRule is one rule of develop.watch.
type WatchRule struct {
	Path        string     `json:"path"`
	Action      string     `json:"action"`
	Target      string     `json:"target,omitempty"`
	Exec        *Hook      `json:"exec,omitempty"`
	Include     []string   `json:"include,omitempty"`
	Ignore      []string   `json:"ignore,omitempty"`
	InitialSync bool       `json:"initial_sync,omitempty"`
	Extensions  Extensions `json:"#extensions,omitempty"`
}

// Device maps a host device (or names a CDI device) into the container.
type Device struct {
	Source      string     `json:"source,omitempty"`
	Target      string     `json:"target,omitempty"`
	Permissions string     `json:"permissions,omitempty"`
	Extensions  Extensions `json:"#extensions,omitempty"`
}

// DeviceRequest asks for devices by driver or capability; Count -1 means all.
type DeviceRequest struct {
	Capabilities []string          `json:"capabilities,omitempty"`
	Driver       string            `json:"driver,omitempty"`
	Count        int64             `json:"count,omitempty"`
	IDs          []string          `json:"device_ids,omitempty"`
	Options      map[string]string `json:"options,omitempty"`
}

// EnvFile is one entry of env_file.
type EnvFile struct {
	Path     string `json:"path"`
	Required bool   `json:"required"`
	Format   string `json:"format,omitempty"`
}

// Extends names the service that this one extends.
type Extends struct {
	File    string `json:"file,omitempty"`
	Service string `json:"service"`
}

// FileReference is a service's use of a config or secret.
type FileReference struct {
	Source     string     `json:"source,omitempty"`
	Target     string     `json:"target,omitempty"`
	UID        string     `json:"uid,omitempty"`
	GID        string     `json:"gid,omitempty"`
	Mode       string     `json:"mode,omitempty"` // octal text, "0440"
	Extensions Extensions `json:"#extensions,omitempty"`
}

// Healthcheck says how to tell whether a container is healthy. Test is in
// exec form: ["NONE"], ["CMD", args...] or ["CMD-SHELL", line].
type Healthcheck struct {
	Test          []string   `json:"test,omitempty"`
	Timeout       *Duration  `json:"timeout,omitempty"`
	Interval      *Duration  `json:"interval,omitempty"`
	Retries       *uint64    `json:"retries,omitempty"`
	StartPeriod   *Duration  `json:"start_period,omitempty"`
	StartInterval *Duration  `json:"start_interval,omitempty"`
	Disable       bool       `json:"disable,omitempty"`
	Extensions    Extensions `json:"#extensions,omitempty"`
}

// Hook is a command run at a moment of a container's life.
type Hook struct {
	Command     []string   `json:"command"`
	User        string     `json:"user,omitempty"`
	Privileged  bool       `json:"privileged,omitempty"`
	WorkingDir  string     `json:"working_dir,omitempty"`
	Environment Mapping    `json:"environment,omitempty"`
	Extensions  Extensions `json:"#extensions,omitempty"`
}

// InitContainer is one entry of pre_start: a container that runs to its end
// before the service starts. Service holds what the entry and, below it, the
// service declare; Build, DependsOn, Ports and the like are empty.
type InitContainer struct {
	Service
	PerReplica bool `json:"per_replica,omitempty"` // once for each replica, not once for all
}

// Logging selects a log driver.
type Logging struct {
	Driver     string            `json:"driver,omitempty"`
	Options    map[string]string `json:"options,omitempty"`
	Extensions Extensions        `json:"#extensions,omitempty"`
}

// ServiceModel is a service's use of a model.
type ServiceModel struct {
	EndpointVar string     `json:"endpoint_var,omitempty"`
	ModelVar    string     `json:"model_var,omitempty"`
	Extensions  Extensions `json:"#extensions,omitempty"`
}

// EndpointSysctls is the option in driver_opts of a service's network that
// sets kernel parameters of the interface.
const EndpointSysctls = "com.docker.network.endpoint.sysctls"

// ServiceNetwork is a service's place on a network; nil means all defaults.
type ServiceNetwork struct {
	Aliases       []string          `json:"aliases,omitempty"`
	DriverOpts    map[string]string `json:"driver_opts,omitempty"`
	GWPriority    int               `json:"gw_priority,omitempty"`
	InterfaceName string            `json:"interface_name,omitempty"`
	IPv4Address   string            `json:"ipv4_address,omitempty"`
	IPv6Address   string            `json:"ipv6_address,omitempty"`
	LinkLocalIPs  []string          `json:"link_local_ips,omitempty"`
	MacAddress    string            `json:"mac_address,omitempty"`
	Priority      int               `json:"priority,omitempty"`
	// UseServiceNameAlias false keeps the service's name off the network.
	UseServiceNameAlias *bool      `json:"use_service_name_alias,omitempty"`
	Extensions          Extensions `json:"#extensions,omitempty"`
}

// Port is one published container port. Published is empty (an ephemeral host
// port), a number, or a range "8000-8010" to choose one from.
type Port struct {
	Name        string     `json:"name,omitempty"`
	Mode        string     `json:"mode,omitempty"`
	HostIP      string     `json:"host_ip,omitempty"`
	Target      uint32     `json:"target,omitempty"`
	Published   string     `json:"published,omitempty"`
	Protocol    string     `json:"protocol,omitempty"`
	AppProtocol string     `json:"app_protocol,omitempty"`
	Extensions  Extensions `json:"#extensions,omitempty"`
}

// Provider runs a service through an external program.
type Provider struct {
	Type       string              `json:"type"`
	Options    map[string][]string `json:"options,omitempty"`
	Extensions Extensions          `json:"#extensions,omitempty"`
}

// Ulimit is a resource limit. Single means that one number set both.
type Ulimit struct {
	Single     int64      `json:"single,omitempty"`
	Soft       int64      `json:"soft,omitempty"`
	Hard       int64      `json:"hard,omitempty"`
	Extensions Extensions `json:"#extensions,omitempty"`
}

// Types of a Mount.
const (
	MountBind   = "bind"
	MountVolume = "volume"
	MountTmpfs  = "tmpfs"
	MountImage  = "image"
)

// Mount is one entry of a service's volumes in its long form. Source is an
// absolute host path (bind), the key of a top-level volume (volume; empty for
// an anonymous one), or an image reference (image).
type Mount struct {
	Type        string           `json:"type"`
	Source      string           `json:"source,omitempty"`
	Target      string           `json:"target,omitempty"`
	ReadOnly    bool             `json:"read_only,omitempty"`
	Consistency string           `json:"consistency,omitempty"`
	Bind        *MountBindOpts   `json:"bind,omitempty"`
	Volume      *MountVolumeOpts `json:"volume,omitempty"`
	Tmpfs       *MountTmpfsOpts  `json:"tmpfs,omitempty"`
	Image       *MountImageOpts  `json:"image,omitempty"`
	Extensions  Extensions       `json:"#extensions,omitempty"`
}

// MountBindOpts are the options of a bind mount.
type MountBindOpts struct {
	SELinux        string     `json:"selinux,omitempty"`
	Propagation    string     `json:"propagation,omitempty"`
	CreateHostPath bool       `json:"create_host_path,omitempty"`
	Recursive      string     `json:"recursive,omitempty"`
	Extensions     Extensions `json:"#extensions,omitempty"`
}

// MountVolumeOpts are the options of a volume mount.
type MountVolumeOpts struct {
	Labels     map[string]string `json:"labels,omitempty"`
	NoCopy     bool              `json:"nocopy,omitempty"`
	Subpath    string            `json:"subpath,omitempty"`
	Extensions Extensions        `json:"#extensions,omitempty"`
}

// MountTmpfsOpts are the options of a tmpfs mount.
type MountTmpfsOpts struct {
	Size       Bytes      `json:"size,omitempty"`
	Mode       uint32     `json:"mode,omitempty"`
	Extensions Extensions `json:"#extensions,omitempty"`
}

// MountImageOpts are the options of an image mount.
type MountImageOpts struct {
	Subpath    string     `json:"subpath,omitempty"`
	Extensions Extensions `json:"#extensions,omitempty"`
}
