package schema

// ServiceValue describes a service.
var ServiceValue = Value{Keys: [][]Key{containerKeys, workloadKeys, serviceKeys, {
	{"x-devstack", &ownOfService, "devstack's own settings."},
}}}

// containerKeys are what anything that runs a container takes: services,
// jobs and the containers of pre_start.
var containerKeys = []Key{
	{"annotations", &pairs, "Annotations of the container."},
	{"blkio_config", &blkio, "Limits of block I/O."},
	{"cap_add", &texts, "Capabilities to add."},
	{"cap_drop", &texts, "Capabilities to drop."},
	{"cgroup", &Value{Scalar: Text, Enum: []string{"host", "private"}}, "The cgroup namespace: host or private."},
	{"cgroup_parent", &text, "The parent cgroup."},
	{"command", &command, "Overrides the image's command."},
	{"configs", &Value{List: &fileReference, Unique: ByConfigPath}, "Configs to mount."},
	{"cpu_count", &Value{Scalar: Text | Int, Meaning: Integer, Max: maxInt}, "Number of CPUs."},
	{"cpu_percent", &Value{Scalar: Text | Int | Number, Meaning: Decimal, Max: 100}, "Share of the CPUs in percent."},
	{"cpu_period", &micros, "Period of the CPU quota in microseconds."},
	{"cpu_quota", &micros, "CPU time in each period in microseconds."},
	{"cpu_rt_period", &micros, "Real-time period in microseconds."},
	{"cpu_rt_runtime", &micros, "Real-time run time in microseconds."},
	{"cpu_shares", &count, "Relative weight among containers."},
	{"cpus", &decimal, "Number of CPUs, fractions allowed."},
	{"cpuset", &text, "CPUs to run on: 0-3 or 0,1."},
	{"credential_spec", &Value{Keys: [][]Key{{
		{"config", &text, "A config that holds the spec."},
		{"file", &text, "A file that holds the spec."},
		{"registry", &text, "A registry value that holds the spec."},
	}}}, "Windows credential spec."},
	{"device_cgroup_rules", &uniqueTexts, "Rules for the cgroup's device list."},
	{"devices", &Value{Unique: ByTarget, List: &Value{Scalar: Text, Short: DeviceSpec, Required: []string{"source"}, Keys: [][]Key{{
		{"permissions", &text, "What the container may do: r, w, m."},
		{"source", &text, "The device on the host, or a CDI name."},
		{"target", &text, "The device in the container."},
	}}}}, "Devices to map into the container."},
	{"dns", &keyedTexts, "Name servers."},
	{"dns_opt", &texts, "Options of the resolver."},
	{"dns_search", &keyedTexts, "Search domains."},
	{"domainname", &text, "Domain name of the container."},
	{"entrypoint", &command, "Overrides the image's entrypoint."},
	{"env_file", &Value{Scalar: Text, Short: OneOrMore, Unique: ByPath, List: &Value{Scalar: Text, Short: EnvFileSpec, Closed: true, Required: []string{"path"}, Keys: [][]Key{{
		{"format", &text, "raw: take values as they stand."},
		{"path", &filePath, "The file."},
		{"required", &flag, "Whether a missing file is a fault."},
	}}}}, "Files with environment variables."},
	{"environment", &pairs, "Environment variables."},
	{"extra_hosts", &hosts, "Further entries for /etc/hosts."},
	{"gpus", &Value{Scalar: Text, Enum: []string{"all"}, Short: GPUs, List: &deviceRequest}, "GPUs to use: all, or a list."},
	{"group_add", &numOrTexts, "Further groups of the container's user."},
	{"hostname", &text, "Host name of the container."},
	{"image", &text, "The image to run."},
	{"init", &flag, "Run a small init as pid 1."},
	{"ipc", &text, "IPC namespace: host, private, shareable, service:NAME."},
	{"isolation", &text, "Isolation technology (Windows)."},
	{"label_file", &Value{Scalar: Text, Short: OneOrMore, List: &filePath}, "Files with labels."},
	{"labels", &pairs, "Labels of the container."},
	{"logging", &Value{Merge: Driver, Keys: [][]Key{{
		{"driver", &text, "The log driver."},
		{"options", &options, "Options for the driver."},
	}}}, "Where the output goes."},
	{"mac_address", &text, "The container's MAC address."},
	{"mem_limit", &size, "Most memory to use."},
	{"mem_reservation", &size, "Memory that is kept available."},
	{"mem_swappiness", &count, "Inclination to swap: 0 to 100."},
	{"memswap_limit", &size, "Most memory and swap together; -1 for no limit."},
	{"models", &Value{List: &text, Short: Flags, Names: Object, Map: &Value{Scalar: Null, Keys: [][]Key{{
		{"endpoint_var", &text, "Variable that gets the model's URL."},
		{"model_var", &text, "Variable that gets the model's name."},
	}}}}, "Models to use."},
	{"network_mode", &text, "Network namespace: bridge, host, none, service:NAME."},
	{"networks", &Value{List: &text, Short: Flags, Names: Object, Map: &serviceNetwork}, "Networks to join."},
	{"oom_kill_disable", &flag, "Never kill for lack of memory."},
	{"oom_score_adj", &Value{Scalar: Text | Int, Meaning: Integer, Min: -1000, Max: 1000}, "Inclination to be killed for lack of memory."},
	{"pid", &textOrNull, "PID namespace: host, service:NAME."},
	{"pids_limit", &count, "Most processes; -1 for no limit."},
	{"platform", &text, "Platform: os[/arch[/variant]]."},
	{"privileged", &flag, "Run with all privileges."},
	{"pull_policy", &Value{Scalar: Text, Meaning: Pull}, "When to pull the image."},
	{"pull_refresh_after", &text, "When an image is too old."},
	{"read_only", &flag, "The root file system is read-only."},
	{"runtime", &text, "The OCI runtime."},
	{"secrets", &Value{List: &fileReference, Unique: BySecretPath}, "Secrets to mount."},
	{"security_opt", &uniqueTexts, "Security options."},
	{"shm_size", &size, "Size of /dev/shm."},
	{"stop_grace_period", &period, "Time between stop signal and kill."},
	{"stop_signal", &text, "Signal that asks the container to stop."},
	{"storage_opt", &Value{Map: &anyScalar}, "Options of the storage driver."},
	{"sysctls", &pairs, "Kernel parameters."},
	{"tmpfs", &Value{Scalar: Text, List: &text, Short: OneOrMore, Unique: ByMountPoint}, "Temporary file systems."},
	{"ulimits", &ulimits, "Resource limits."},
	{"umask", &Value{Scalar: Int | Text | Null, Meaning: Mask}, "File mode creation mask."},
	{"use_api_socket", &Value{Scalar: Bool, Meaning: Boolean}, "Give the container the engine's API."},
	{"user", &text, "User to run as: name or id[:group]."},
	{"userns_mode", &text, "User namespace."},
	{"uts", &text, "UTS namespace: host."},
	{"volumes", &Value{List: &mount, Unique: ByTarget}, "What to mount."},
	{"volumes_from", &uniqueTexts, "Services to take mounts from."},
	{"working_dir", &text, "Working directory."},
}

// workloadKeys are what services and jobs take beyond containerKeys.
var workloadKeys = []Key{
	{"build", &build, "How to build the image."},
	{"depends_on", &Value{List: &text, Short: DependsOn, Names: Object, Map: &Value{Required: []string{"condition"}, Keys: [][]Key{{
		{"condition", &Value{Scalar: Text, Enum: []string{"service_started", "service_healthy", "service_completed_successfully"}}, "What to wait for."},
		{"required", &flag, "Whether its absence is a fault."},
		{"restart", &flag, "Restart when the dependency restarts."},
	}}}}, "Services to start first."},
	{"expose", &Value{List: &textOrNum, Unique: ByKey}, "Ports open to other services."},
	{"healthcheck", &Value{Keys: [][]Key{{
		{"disable", &flag, "No check, not even the image's."},
		{"interval", &period, "Time between checks."},
		{"retries", &count, "Failures in a row that make unhealthy."},
		{"start_interval", &period, "Time between checks while starting."},
		{"start_period", &period, "Time to start in; failures do not count."},
		{"test", &Value{Scalar: Text, List: &text, Short: ShellTest, Merge: Replace}, "The check."},
		{"timeout", &period, "Longest time of one check."},
	}}}, "How to tell whether the container is healthy."},
	{"ports", &Value{Short: Ports, Unique: ByPort, List: &Value{Scalar: Int | Number | Text, Keys: [][]Key{{
		{"app_protocol", &text, "The application's protocol."},
		{"host_ip", &text, "Address to listen on."},
		{"mode", &text, "host or ingress."},
		{"name", &text, "Name of the port."},
		{"protocol", &text, "tcp or udp."},
		{"published", &Value{Scalar: Text | Int}, "Port or range on the host."},
		{"target", &Value{Scalar: Int | Text, Meaning: Integer, Min: 1, Max: 65535}, "Port in the container."},
	}}}}, "Ports to publish."},
	{"stdin_open", &flag, "Keep standard input open."},
	{"tty", &flag, "Give the container a terminal."},
}

// serviceKeys are what services alone take.
var serviceKeys = []Key{
	{"attach", &flag, "Show the output in a foreground up."},
	{"container_name", &Value{Scalar: Text, Meaning: ContainerID}, "The container's real name."},
	{"deploy", &deploy, "Replicas, resources and how to replace."},
	{"develop", &develop, "What to do when files change."},
	{"extends", &extends, "A service to take the definition from."},
	{"external_links", &plainTexts, "Links to containers outside the project."},
	{"links", &texts, "Links to other services."},
	{"post_start", &Value{List: &hook}, "Commands to run after the start."},
	{"pre_start", &Value{List: &preStart}, "Containers to run before the start."},
	{"pre_stop", &Value{List: &hook}, "Commands to run before the stop."},
	{"profiles", &texts, "Profiles that the service belongs to."},
	{"provider", &Value{Required: []string{"type"}, Keys: [][]Key{{
		{"options", &Value{Map: &Value{Scalar: Text | Number | Int | Bool, List: &Value{Scalar: Text | Number | Int | Bool}}}, "Options for the provider."},
		{"type", &text, "The provider's program."},
	}}}, "An external program that runs the service."},
	{"restart", &text, "Restart policy."},
	{"scale", &integer, "Number of containers."},
}

var preStart = Value{Keys: [][]Key{containerKeys, {
	{"per_replica", &flag, "Run once for each replica."},
}}}

var extends = Value{Scalar: Text, Short: Service, Closed: true, Required: []string{"service"}, Keys: [][]Key{{
	{"file", &filePath, "The file that has the service."},
	{"service", &text, "The service."},
}}}

var serviceNetwork = Value{Scalar: Null, Keys: [][]Key{{
	{"aliases", &texts, "Further names on the network."},
	{"driver_opts", &Value{Map: &textOrNum}, "Options for the driver."},
	{"gw_priority", &Value{Scalar: Int | Number, Meaning: Integer}, "The highest one gives the default gateway."},
	{"interface_name", &text, "Name of the interface in the container."},
	{"ipv4_address", &text, "Static IPv4 address."},
	{"ipv6_address", &text, "Static IPv6 address."},
	{"link_local_ips", &texts, "Link-local addresses."},
	{"mac_address", &text, "MAC address on the network."},
	{"priority", &Value{Scalar: Int | Number, Meaning: Integer}, "Order in which networks are joined."},
	{"use_service_name_alias", &flag, "Whether the service's name is a name on the network."},
}}}

var mount = Value{Scalar: Text, Short: MountSpec, Required: []string{"type"}, Keys: [][]Key{{
	{"bind", &Value{Keys: [][]Key{{
		{"create_host_path", &flag, "Create the source when it is missing."},
		{"propagation", &text, "Propagation of mounts."},
		{"recursive", &Value{Scalar: Text, Enum: []string{"enabled", "disabled", "writable", "readonly"}}, "How mounts below the source follow."},
		{"selinux", &Value{Scalar: Text, Enum: []string{"z", "Z"}}, "SELinux label: shared or private."},
	}}}, "Options of a bind mount."},
	{"consistency", &text, "Ignored."},
	{"image", &Value{Keys: [][]Key{{
		{"subpath", &text, "Path inside the image."},
	}}}, "Options of an image mount."},
	{"read_only", &flag, "Mount read-only."},
	{"source", &text, "Host path, volume or image."},
	{"target", &text, "Path in the container."},
	{"tmpfs", &Value{Keys: [][]Key{{
		{"mode", &Value{Scalar: Number | Int | Text, Meaning: Octal}, "Mode of its root."},
		{"size", &Value{Scalar: Int | Text, Meaning: Size}, "Size in bytes."},
	}}}, "Options of a tmpfs."},
	{"type", &Value{Scalar: Text, Enum: []string{"bind", "volume", "tmpfs", "cluster", "npipe", "image"}}, "What to mount."},
	{"volume", &Value{Keys: [][]Key{{
		{"labels", &pairs, "Labels of an anonymous volume."},
		{"nocopy", &flag, "Do not fill the volume from the image."},
		{"subpath", &text, "Path inside the volume."},
	}}}, "Options of a volume."},
}}}

var blkio = Value{Closed: true, Keys: [][]Key{{
	{"device_read_bps", &throttles, "Bytes read per second."},
	{"device_read_iops", &throttles, "Reads per second."},
	{"device_write_bps", &throttles, "Bytes written per second."},
	{"device_write_iops", &throttles, "Writes per second."},
	{"weight", &integer, "Weight: 10 to 1000."},
	{"weight_device", &Value{List: &Value{Closed: true, Keys: [][]Key{{
		{"path", &text, "The device."},
		{"weight", &integer, "Weight: 10 to 1000."},
	}}}}, "Weights of devices."},
}}}

var throttles = Value{List: &Value{Closed: true, Keys: [][]Key{{
	{"path", &text, "The device."},
	{"rate", &Value{Scalar: Int | Text, Meaning: Size}, "Rate per second."},
}}}}

const maxInt = 1<<63 - 1
