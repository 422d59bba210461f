package load

import "devstack/compose"

// service fills in a service. The keys that take a section of their own are
// in section; what is left here is a word each.
func (d *decoder) service(s *compose.Service, n *node) {
	s.Extensions = extensions(n)
	for i := range n.keys {
		key, n := n.keys[i].key, n.keys[i].val
		switch key {
		case "annotations":
			s.Annotations = texts(n)
		case "attach":
			s.Attach = truthPtr(n)
		case "cap_add":
			s.CapAdd = strs(n)
		case "cap_drop":
			s.CapDrop = strs(n)
		case "cgroup":
			s.Cgroup = str(n)
		case "cgroup_parent":
			s.CgroupParent = str(n)
		case "command":
			s.Command = command(n)
		case "container_name":
			s.ContainerName = str(n)
		case "cpu_count":
			s.CPUCount = i64(n)
		case "cpu_percent":
			s.CPUPercent = f32(n)
		case "cpu_period":
			s.CPUPeriod = i64(n)
		case "cpu_quota":
			s.CPUQuota = i64(n)
		case "cpu_rt_period":
			s.CPURTPeriod = i64(n)
		case "cpu_rt_runtime":
			s.CPURTRuntime = i64(n)
		case "cpu_shares":
			s.CPUShares = i64(n)
		case "cpus":
			s.CPUs = f32(n)
		case "cpuset":
			s.CPUSet = str(n)
		case "device_cgroup_rules":
			s.DeviceCgroupRules = strs(n)
		case "dns":
			s.DNS = filled(strs(n))
		case "dns_opt":
			s.DNSOpt = strs(n)
		case "dns_search":
			s.DNSSearch = strs(n)
		case "domainname":
			s.DomainName = str(n)
		case "entrypoint":
			s.Entrypoint = command(n)
		case "environment":
			s.Environment = mapping(n)
		case "expose":
			s.Expose = strs(n)
		case "external_links":
			s.ExternalLinks = strs(n)
		case "extra_hosts":
			s.ExtraHosts = decodeMap(n, strs)
		case "group_add":
			s.GroupAdd = strs(n)
		case "hostname":
			s.Hostname = str(n)
		case "image":
			s.Image = str(n)
		case "init":
			s.Init = truthPtr(n)
		case "ipc":
			s.IPC = str(n)
		case "isolation":
			s.Isolation = str(n)
		case "label_file":
			s.LabelFile = strs(n)
		case "labels":
			s.Labels = texts(n)
		case "links":
			s.Links = strs(n)
		case "mac_address":
			s.MacAddress = str(n)
		case "mem_limit":
			s.MemLimit = size(n)
		case "mem_reservation":
			s.MemReservation = size(n)
		case "mem_swappiness":
			s.MemSwappiness = i64Ptr(n)
		case "memswap_limit":
			s.MemSwapLimit = size(n)
		case "network_mode":
			s.NetworkMode = str(n)
		case "oom_kill_disable":
			s.OOMKillDisable = truth(n)
		case "oom_score_adj":
			s.OOMScoreAdj = i64(n)
		case "pid":
			s.PID = str(n)
		case "pids_limit":
			s.PidsLimit = i64(n)
		case "platform":
			s.Platform = str(n)
		case "privileged":
			s.Privileged = truth(n)
		case "profiles":
			s.Profiles = strs(n)
		case "pull_policy":
			s.PullPolicy = str(n)
		case "pull_refresh_after":
			s.PullRefreshAfter = str(n)
		case "read_only":
			s.ReadOnly = truth(n)
		case "restart":
			s.Restart = str(n)
		case "runtime":
			s.Runtime = str(n)
		case "scale":
			s.Scale = intPtr(n)
		case "security_opt":
			s.SecurityOpt = strs(n)
		case "shm_size":
			s.ShmSize = size(n)
		case "stdin_open":
			s.StdinOpen = truth(n)
		case "stop_grace_period":
			s.StopGracePeriod = periodPtr(n)
		case "stop_signal":
			s.StopSignal = str(n)
		case "storage_opt":
			s.StorageOpt = texts(n)
		case "sysctls":
			s.Sysctls = texts(n)
		case "tmpfs":
			s.Tmpfs = strs(n)
		case "tty":
			s.TTY = truth(n)
		case "umask":
			if n.kind != nullKind {
				s.Umask = ptr(uint32(i64(n)))
			}
		case "use_api_socket":
			s.UseAPISocket = truth(n)
		case "user":
			s.User = str(n)
		case "userns_mode":
			s.UsernsMode = str(n)
		case "uts":
			s.UTS = str(n)
		case "volumes_from":
			s.VolumesFrom = strs(n)
		case "working_dir":
			s.WorkingDir = str(n)
		default:
			d.section(s, key, n)
		}
	}
}

// filled drops empty texts.
func filled(l []string) []string {
	var kept []string
	for _, s := range l {
		if s != "" {
			kept = append(kept, s)
		}
	}
	return kept
}

// section fills in the keys of a service that hold a structure.
func (d *decoder) section(s *compose.Service, key string, n *node) {
	switch key {
	case "blkio_config":
		s.BlkioConfig = ptr(blkio(n))
	case "build":
		s.Build = ptr(build(n))
	case "configs":
		s.Configs = decodeList(n, fileReference)
	case "credential_spec":
		s.CredentialSpec = &compose.CredentialSpec{
			Config: n.str("config"), File: n.str("file"), Registry: n.str("registry"), Extensions: extensions(n),
		}
	case "depends_on":
		s.DependsOn = decodeMap(n, dependency)
	case "deploy":
		if n.kind == mapKind {
			s.Deploy = ptr(deploy(n))
		}
	case "develop":
		if n.kind == mapKind {
			s.Develop = ptr(develop(n))
		}
	case "devices":
		s.Devices = decodeList(n, device)
	case "env_file":
		s.EnvFile = decodeList(n, envFile)
	case "extends":
		s.Extends = &compose.Extends{File: n.str("file"), Service: n.str("service")}
	case "gpus":
		s.GPUs = decodeList(n, deviceRequest)
	case "healthcheck":
		s.Healthcheck = ptr(healthcheck(n))
	case "logging":
		s.Logging = &compose.Logging{Driver: n.str("driver"), Extensions: extensions(n)}
		if o := n.get("options"); o != nil {
			s.Logging.Options = texts(o)
		}
	case "models":
		s.Models = decodeMap(n, serviceModel)
	case "networks":
		s.Networks = decodeMap(n, serviceNetwork)
	case "ports":
		s.Ports = decodeList(n, port)
	case "post_start":
		s.PostStart = decodeList(n, hook)
	case "pre_start":
		s.PreStart = decodeList(n, d.initContainer)
	case "pre_stop":
		s.PreStop = decodeList(n, hook)
	case "provider":
		s.Provider = ptr(provider(n))
	case "secrets":
		s.Secrets = decodeList(n, fileReference)
	case "ulimits":
		s.Ulimits = decodeMap(n, ulimit)
	case "volumes":
		s.Volumes = decodeList(n, mount)
	}
}

func (d *decoder) initContainer(n *node) (v compose.InitContainer) {
	d.service(&v.Service, n)
	if p := n.get("per_replica"); p != nil {
		v.PerReplica = truth(p)
	}
	return v
}
