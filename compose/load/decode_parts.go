package load

import (
	"math"

	"devstack/compose"
)

func dependency(n *node) compose.Dependency {
	d := compose.Dependency{Condition: n.str("condition"), Required: true, Extensions: extensions(n)}
	if r := n.get("required"); r != nil {
		d.Required = truth(r)
	}
	if r := n.get("restart"); r != nil {
		d.Restart = truth(r)
	}
	return d
}

func envFile(n *node) compose.EnvFile {
	return compose.EnvFile{Path: n.str("path"), Required: n.str("required") == "true", Format: n.str("format")}
}

func device(n *node) compose.Device {
	return compose.Device{Source: n.str("source"), Target: n.str("target"), Permissions: n.str("permissions"), Extensions: extensions(n)}
}

func fileReference(n *node) compose.FileReference {
	f := compose.FileReference{
		Source: n.str("source"), Target: n.str("target"), UID: n.str("uid"), GID: n.str("gid"), Extensions: extensions(n),
	}
	if m := n.get("mode"); m != nil {
		f.Mode = fileMode(m)
	}
	return f
}

func deviceRequest(n *node) (v compose.DeviceRequest) {
	each(n, func(key string, n *node) {
		switch key {
		case "capabilities":
			v.Capabilities = strs(n)
		case "driver":
			v.Driver = str(n)
		case "count":
			v.Count = i64(n)
		case "device_ids":
			v.IDs = strs(n)
		case "options":
			v.Options = texts(n)
		}
	})
	if n.get("count") == nil && v.IDs == nil {
		v.Count = -1
	}
	return v
}

func healthcheck(n *node) (v compose.Healthcheck) {
	v.Extensions = extensions(n)
	each(n, func(key string, n *node) {
		switch key {
		case "test":
			v.Test = strs(n)
		case "timeout":
			v.Timeout = periodPtr(n)
		case "interval":
			v.Interval = periodPtr(n)
		case "retries":
			v.Retries = u64Ptr(n)
		case "start_period":
			v.StartPeriod = periodPtr(n)
		case "start_interval":
			v.StartInterval = periodPtr(n)
		case "disable":
			v.Disable = truth(n)
		}
	})
	return v
}

func hook(n *node) (v compose.Hook) {
	v.Extensions = extensions(n)
	each(n, func(key string, n *node) {
		switch key {
		case "command":
			v.Command = command(n)
		case "user":
			v.User = str(n)
		case "privileged":
			v.Privileged = truth(n)
		case "working_dir":
			v.WorkingDir = str(n)
		case "environment":
			v.Environment = mapping(n)
		}
	})
	return v
}

func serviceModel(n *node) *compose.ServiceModel {
	if n.kind != mapKind {
		return nil
	}
	return &compose.ServiceModel{EndpointVar: n.str("endpoint_var"), ModelVar: n.str("model_var"), Extensions: extensions(n)}
}

func serviceNetwork(n *node) *compose.ServiceNetwork {
	if n.kind != mapKind {
		return nil
	}
	v := &compose.ServiceNetwork{Extensions: extensions(n)}
	each(n, func(key string, n *node) {
		switch key {
		case "aliases":
			v.Aliases = strs(n)
		case "driver_opts":
			v.DriverOpts = texts(n)
		case "gw_priority":
			v.GWPriority = int(i64(n))
		case "interface_name":
			v.InterfaceName = str(n)
		case "ipv4_address":
			v.IPv4Address = str(n)
		case "ipv6_address":
			v.IPv6Address = str(n)
		case "link_local_ips":
			v.LinkLocalIPs = strs(n)
		case "mac_address":
			v.MacAddress = str(n)
		case "priority":
			v.Priority = int(i64(n))
		case "use_service_name_alias":
			v.UseServiceNameAlias = truthPtr(n)
		}
	})
	return v
}

func port(n *node) (v compose.Port) {
	v.Extensions = extensions(n)
	each(n, func(key string, n *node) {
		switch key {
		case "name":
			v.Name = str(n)
		case "mode":
			v.Mode = str(n)
		case "host_ip":
			v.HostIP = str(n)
		case "target":
			v.Target = uint32(i64(n))
		case "published":
			v.Published = str(n)
		case "protocol":
			v.Protocol = str(n)
		case "app_protocol":
			v.AppProtocol = str(n)
		}
	})
	return v
}

func provider(n *node) compose.Provider {
	v := compose.Provider{Type: n.str("type"), Extensions: extensions(n)}
	v.Options = decodeMap(n.get("options"), func(n *node) []string {
		if n.kind == listKind {
			return strs(n)
		}
		return []string{str(n)}
	})
	return v
}

func ulimit(n *node) (v compose.Ulimit) {
	if n.kind != mapKind {
		return compose.Ulimit{Single: i64(n)}
	}
	v.Extensions = extensions(n)
	each(n, func(key string, n *node) {
		switch key {
		case "soft":
			v.Soft = i64(n)
		case "hard":
			v.Hard = i64(n)
		}
	})
	return v
}

func mount(n *node) (v compose.Mount) {
	v.Extensions = extensions(n)
	each(n, func(key string, n *node) {
		switch key {
		case "type":
			v.Type = str(n)
		case "source":
			v.Source = str(n)
		case "target":
			v.Target = str(n)
		case "read_only":
			v.ReadOnly = truth(n)
		case "consistency":
			v.Consistency = str(n)
		case "bind":
			v.Bind = &compose.MountBindOpts{
				SELinux: n.str("selinux"), Propagation: n.str("propagation"), Recursive: n.str("recursive"),
				CreateHostPath: n.str("create_host_path") == "true", Extensions: extensions(n),
			}
		case "volume":
			v.Volume = &compose.MountVolumeOpts{Subpath: n.str("subpath"), NoCopy: n.str("nocopy") == "true", Extensions: extensions(n)}
			if l := n.get("labels"); l != nil {
				v.Volume.Labels = texts(l)
			}
		case "tmpfs":
			v.Tmpfs = &compose.MountTmpfsOpts{Extensions: extensions(n)}
			if s := n.get("size"); s != nil {
				v.Tmpfs.Size = size(s)
			}
			if m := n.get("mode"); m != nil {
				v.Tmpfs.Mode = uint32(i64(m))
			}
		case "image":
			v.Image = &compose.MountImageOpts{Subpath: n.str("subpath"), Extensions: extensions(n)}
		}
	})
	return v
}

func blkio(n *node) (v compose.BlkioConfig) {
	v.Extensions = extensions(n)
	each(n, func(key string, n *node) {
		switch key {
		case "weight":
			v.Weight = weight(n)
		case "weight_device":
			v.WeightDevice = decodeList(n, func(n *node) compose.WeightDevice {
				d := compose.WeightDevice{Path: n.str("path")}
				if w := n.get("weight"); w != nil {
					d.Weight = weight(w)
				}
				return d
			})
		case "device_read_bps":
			v.DeviceReadBps = decodeList(n, throttle)
		case "device_read_iops":
			v.DeviceReadIOps = decodeList(n, throttle)
		case "device_write_bps":
			v.DeviceWriteBps = decodeList(n, throttle)
		case "device_write_iops":
			v.DeviceWriteIOps = decodeList(n, throttle)
		}
	})
	return v
}

// weight is a share, 65535 for what is more than that: verify refuses it.
func weight(n *node) uint16 { return uint16(max(0, min(i64(n), math.MaxUint16))) }

func throttle(n *node) compose.ThrottleLimit {
	t := compose.ThrottleLimit{Path: n.str("path")}
	if r := n.get("rate"); r != nil {
		t.Rate = size(r)
	}
	return t
}

func build(n *node) (v compose.Build) {
	v.Extensions = extensions(n)
	each(n, func(key string, n *node) {
		switch key {
		case "context":
			v.Context = str(n)
		case "dockerfile":
			v.Dockerfile = str(n)
		case "dockerfile_inline":
			v.DockerfileInline = str(n)
		case "entitlements":
			v.Entitlements = strs(n)
		case "args":
			v.Args = mapping(n)
		case "provenance":
			v.Provenance = str(n)
		case "sbom":
			v.SBOM = str(n)
		case "ssh":
			for _, e := range n.keys {
				v.SSH = append(v.SSH, compose.SSHKey{ID: e.key, Path: e.val.text})
			}
		case "labels":
			v.Labels = texts(n)
		case "cache_from":
			v.CacheFrom = strs(n)
		case "cache_to":
			v.CacheTo = strs(n)
		case "no_cache":
			v.NoCache = truth(n)
		case "no_cache_filter":
			v.NoCacheFilter = strs(n)
		case "additional_contexts":
			v.AdditionalContexts = texts(n)
		case "pull":
			v.Pull = truth(n)
		case "extra_hosts":
			v.ExtraHosts = decodeMap(n, strs)
		case "isolation":
			v.Isolation = str(n)
		case "network":
			v.Network = str(n)
		case "target":
			v.Target = str(n)
		case "secrets":
			v.Secrets = decodeList(n, fileReference)
		case "shm_size":
			v.ShmSize = size(n)
		case "tags":
			v.Tags = strs(n)
		case "ulimits":
			v.Ulimits = decodeMap(n, ulimit)
		case "platforms":
			v.Platforms = strs(n)
		case "privileged":
			v.Privileged = truth(n)
		}
	})
	return v
}
