package load

import (
	"reflect"

	"devstack/compose"
)

func deploy(n *node) (v compose.Deploy) {
	v.Extensions = extensions(n)
	each(n, func(key string, n *node) {
		switch key {
		case "mode":
			v.Mode = str(n)
		case "replicas":
			v.Replicas = intPtr(n)
		case "labels":
			v.Labels = texts(n)
		case "update_config":
			v.UpdateConfig = ptr(updateConfig(n))
		case "rollback_config":
			v.RollbackConfig = ptr(updateConfig(n))
		case "resources":
			v.Resources.Extensions = extensions(n)
			if l := n.get("limits"); l != nil {
				v.Resources.Limits = ptr(resource(l))
			}
			if r := n.get("reservations"); r != nil {
				v.Resources.Reservations = ptr(resource(r))
			}
		case "restart_policy":
			v.RestartPolicy = ptr(restartPolicy(n))
		case "placement":
			v.Placement = placement(n)
		case "endpoint_mode":
			v.EndpointMode = str(n)
		}
	})
	return v
}

func resource(n *node) (v compose.Resource) {
	v.Extensions = extensions(n)
	each(n, func(key string, n *node) {
		switch key {
		case "cpus":
			v.CPUs = f32(n)
		case "memory":
			v.Memory = size(n)
		case "pids":
			v.Pids = i64(n)
		case "devices":
			v.Devices = decodeList(n, deviceRequest)
		case "generic_resources":
			v.GenericResources = decodeList(n, genericResource)
		}
	})
	return v
}

func genericResource(n *node) compose.GenericResource {
	v := compose.GenericResource{Extensions: extensions(n)}
	if d := n.get("discrete_resource_spec"); d != nil {
		v.DiscreteResourceSpec = &compose.DiscreteResource{Kind: d.str("kind"), Extensions: extensions(d)}
		if value := d.get("value"); value != nil {
			v.DiscreteResourceSpec.Value = i64(value)
		}
	}
	return v
}

func updateConfig(n *node) (v compose.UpdateConfig) {
	v.Extensions = extensions(n)
	each(n, func(key string, n *node) {
		switch key {
		case "parallelism":
			v.Parallelism = u64Ptr(n)
		case "delay":
			v.Delay = period(n)
		case "failure_action":
			v.FailureAction = str(n)
		case "monitor":
			v.Monitor = period(n)
		case "max_failure_ratio":
			v.MaxFailureRatio = f32(n)
		case "order":
			v.Order = str(n)
		}
	})
	return v
}

func restartPolicy(n *node) (v compose.RestartPolicy) {
	v.Extensions = extensions(n)
	each(n, func(key string, n *node) {
		switch key {
		case "condition":
			v.Condition = str(n)
		case "delay":
			v.Delay = periodPtr(n)
		case "max_attempts":
			v.MaxAttempts = u64Ptr(n)
		case "window":
			v.Window = periodPtr(n)
		}
	})
	return v
}

func placement(n *node) compose.Placement {
	v := compose.Placement{Extensions: extensions(n)}
	if c := n.get("constraints"); c != nil {
		v.Constraints = strs(c)
	}
	v.Preferences = decodeList(n.get("preferences"), func(n *node) compose.PlacementPreference {
		return compose.PlacementPreference{Spread: n.str("spread"), Extensions: extensions(n)}
	})
	if m := n.get("max_replicas_per_node"); m != nil {
		v.MaxReplicas = uint64(i64(m))
	}
	return v
}

func develop(n *node) compose.Develop {
	return compose.Develop{Watch: decodeList(n.get("watch"), watchRule), Extensions: extensions(n)}
}

func watchRule(n *node) (v compose.WatchRule) {
	v.Extensions = extensions(n)
	each(n, func(key string, n *node) {
		switch key {
		case "path":
			v.Path = str(n)
		case "action":
			v.Action = str(n)
		case "target":
			v.Target = str(n)
		case "exec":
			if h := hook(n); !reflect.DeepEqual(h, compose.Hook{}) {
				v.Exec = &h
			}
		case "include":
			v.Include = strs(n)
		case "ignore":
			v.Ignore = strs(n)
		case "initial_sync":
			v.InitialSync = truth(n)
		}
	})
	return v
}
