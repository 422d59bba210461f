package schema

var deploy = Value{Scalar: Null, Keys: [][]Key{{
	{"endpoint_mode", &text, "Ignored: a cluster's notion."},
	{"labels", &pairs, "Labels of the service."},
	{"mode", &text, "replicated or global."},
	{"placement", &Value{Keys: [][]Key{{
		{"constraints", &plainTexts, "Ignored: a cluster's notion."},
		{"max_replicas_per_node", &integer, "Ignored: a cluster's notion."},
		{"preferences", &Value{List: &Value{Keys: [][]Key{{
			{"spread", &text, "Ignored: a cluster's notion."},
		}}}}, "Ignored: a cluster's notion."},
	}}}, "Ignored: a cluster's notion."},
	{"replicas", &integer, "Number of containers."},
	{"resources", &Value{Keys: [][]Key{{
		{"limits", &Value{Keys: [][]Key{{
			{"cpus", &decimal, "Most CPUs."},
			{"memory", &Value{Scalar: Text, Meaning: Size}, "Most memory."},
			{"pids", &integer, "Most processes."},
		}}}, "What the service may use at most."},
		{"reservations", &Value{Keys: [][]Key{{
			{"cpus", &decimal, "CPUs to keep."},
			{"devices", &Value{List: &reservedDevice}, "Devices to keep."},
			{"generic_resources", &Value{List: &Value{Keys: [][]Key{{
				{"discrete_resource_spec", &Value{Keys: [][]Key{{
					{"kind", &text, "Ignored: a cluster's notion."},
					{"value", &count, "Ignored: a cluster's notion."},
				}}}, "Ignored: a cluster's notion."},
			}}}}, "Ignored: a cluster's notion."},
			{"memory", &Value{Scalar: Text, Meaning: Size}, "Memory to keep."},
		}}}, "What is kept for the service."},
	}}}, "Resources."},
	{"restart_policy", &Value{Keys: [][]Key{{
		{"condition", &text, "none, on-failure or any."},
		{"delay", &period, "Time between attempts."},
		{"max_attempts", &integer, "Most attempts."},
		{"window", &period, "Time after which a start has succeeded."},
	}}}, "When to restart."},
	{"rollback_config", &update, "How to go back."},
	{"update_config", &update, "How to replace containers."},
}}}

var update = Value{Keys: [][]Key{{
	{"delay", &period, "Time between containers."},
	{"failure_action", &text, "continue, rollback or pause."},
	{"max_failure_ratio", &decimal, "Failures that are tolerated."},
	{"monitor", &period, "Time to watch for failure."},
	{"order", &Value{Scalar: Text, Enum: []string{"start-first", "stop-first"}}, "Whether the new container starts before the old one stops."},
	{"parallelism", &integer, "Containers at once."},
}}}

var develop = Value{Scalar: Null, Keys: [][]Key{{
	{"watch", &Value{List: &Value{Required: []string{"path", "action"}, Keys: [][]Key{{
		{"action", &Value{Scalar: Text, Enum: []string{"rebuild", "sync", "restart", "sync+restart", "sync+exec"}}, "What to do."},
		{"exec", &hook, "The command of sync+exec."},
		{"ignore", &textOrList, "Paths to leave out."},
		{"include", &textOrList, "Paths to take in."},
		{"initial_sync", &Value{Scalar: Bool, Meaning: Boolean}, "Copy everything at the start."},
		{"path", &Value{Scalar: Text, Meaning: Path, Place: WatchPath}, "What to watch."},
		{"target", &text, "Where to copy to in the container."},
	}}}}, "Rules for changed files."},
}}}
