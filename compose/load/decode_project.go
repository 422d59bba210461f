package load

import "devstack/compose"

func network(n *node) (v compose.Network) {
	v.Extensions = extensions(n)
	each(n, func(key string, n *node) {
		switch key {
		case "name":
			v.Name = str(n)
		case "driver":
			v.Driver = str(n)
		case "driver_opts":
			v.DriverOpts = texts(n)
		case "ipam":
			v.IPAM = ipam(n)
		case "external":
			v.External = truth(n)
		case "internal":
			v.Internal = truth(n)
		case "attachable":
			v.Attachable = truth(n)
		case "labels":
			v.Labels = texts(n)
		case "enable_ipv4":
			v.EnableIPv4 = truthPtr(n)
		case "enable_ipv6":
			v.EnableIPv6 = truthPtr(n)
		}
	})
	return v
}

func ipam(n *node) (v compose.IPAM) {
	v.Extensions = extensions(n)
	each(n, func(key string, n *node) {
		switch key {
		case "driver":
			v.Driver = str(n)
		case "config":
			v.Config = decodeList(n, ipamPool)
		case "options":
			v.Options = texts(n)
		}
	})
	return v
}

func ipamPool(n *node) (v compose.IPAMPool) {
	v.Extensions = extensions(n)
	each(n, func(key string, n *node) {
		switch key {
		case "subnet":
			v.Subnet = str(n)
		case "gateway":
			v.Gateway = str(n)
		case "ip_range":
			v.IPRange = str(n)
		case "aux_addresses":
			v.AuxAddresses = texts(n)
		}
	})
	return v
}

func volume(n *node) (v compose.Volume) {
	v.Extensions = extensions(n)
	each(n, func(key string, n *node) {
		switch key {
		case "name":
			v.Name = str(n)
		case "driver":
			v.Driver = str(n)
		case "driver_opts":
			v.DriverOpts = texts(n)
		case "external":
			v.External = truth(n)
		case "labels":
			v.Labels = texts(n)
		}
	})
	return v
}

func fileObject(n *node) (v compose.FileObject) {
	v.Extensions = extensions(n)
	each(n, func(key string, n *node) {
		switch key {
		case "name":
			v.Name = str(n)
		case "file":
			v.File = str(n)
		case "environment":
			v.Environment = str(n)
		case "content":
			v.Content = str(n)
		case "external":
			v.External = truth(n)
		case "labels":
			v.Labels = texts(n)
		case "driver":
			v.Driver = str(n)
		case "driver_opts":
			v.DriverOpts = texts(n)
		case "template_driver":
			v.TemplateDriver = str(n)
		}
	})
	return v
}

func aiModel(n *node) (v compose.Model) {
	v.Extensions = extensions(n)
	each(n, func(key string, n *node) {
		switch key {
		case "name":
			v.Name = str(n)
		case "model":
			v.Model = str(n)
		case "context_size":
			v.ContextSize = int(i64(n))
		case "runtime_flags":
			v.RuntimeFlags = strs(n)
		}
	})
	return v
}
