package schema

// Project describes the top level of a project file.
var Project = Value{Keys: [][]Key{{
	{"configs", &Value{Names: Object, Map: &config}, "Files of configuration that services may mount."},
	{"include", &Value{List: &include}, "Other project files to take in."},
	{"jobs", &Value{Names: Object, Map: &job}, "Containers that run to completion."},
	{"models", &Value{Names: Object, Map: &model}, "Language models that services use."},
	{"name", &text, "The project's name."},
	{"networks", &Value{Names: Object, Map: &network}, "Networks that services share."},
	{"secrets", &Value{Names: Object, Map: &secret}, "Sensitive files that services may mount."},
	{"services", &Value{Names: Object, Map: &ServiceValue}, "The services of the project."},
	{"version", &Value{Scalar: Text | Number | Int}, "Obsolete and ignored."},
	{"volumes", &Value{Names: Object, Map: &volume}, "Named volumes that services share."},
	{"x-devstack", &ownOfProject, "devstack's own settings."},
}}}

var include = Value{Scalar: Text, Short: Include, Closed: true, Keys: [][]Key{{
	{"env_file", &textOrList, "Environment files for interpolation in the included files."},
	{"path", &textOrList, "The project file; further ones override it."},
	{"project_directory", &text, "What relative paths of the included files are relative to."},
}}}

var network = Value{Scalar: Null, Short: External, Keys: [][]Key{{
	{"attachable", &flag, "Containers outside the project may join."},
	{"driver", &text, "The network driver; bridge by default."},
	{"driver_opts", &Value{Map: &textOrNum}, "Options for the driver."},
	{"enable_ipv4", &flag, "Give out IPv4 addresses."},
	{"enable_ipv6", &flag, "Give out IPv6 addresses."},
	{"external", &external, "The network exists already and is not managed here."},
	{"internal", &flag, "No way out of the network."},
	{"ipam", &ipam, "The network's address plan."},
	{"labels", &pairs, "Labels of the network."},
	{"name", &text, "The network's real name."},
}}}

var ipam = Value{Keys: [][]Key{{
	{"config", &Value{Merge: Subnets, List: &Value{Keys: [][]Key{{
		{"aux_addresses", &textMap, "Addresses that are taken already."},
		{"gateway", &text, "The gateway's address."},
		{"ip_range", &text, "The part of the subnet to give out."},
		{"subnet", &text, "The subnet in CIDR form."},
	}}}}, "The subnets."},
	{"driver", &text, "The address driver."},
	{"options", &textMap, "Options for the driver."},
}}}

var volume = Value{Scalar: Null, Short: External, Keys: [][]Key{{
	{"driver", &text, "The volume driver; local by default."},
	{"driver_opts", &Value{Map: &textOrNum}, "Options for the driver."},
	{"external", &external, "The volume exists already and is not managed here."},
	{"labels", &pairs, "Labels of the volume."},
	{"name", &text, "The volume's real name."},
}}}

var secret = Value{Short: External, Keys: [][]Key{{
	{"driver", &text, "The secret driver."},
	{"driver_opts", &Value{Map: &textOrNum}, "Options for the driver."},
	{"environment", &text, "Environment variable that holds the content."},
	{"external", &external, "The secret exists already and is not managed here."},
	{"file", &sourcePath, "File that holds the content."},
	{"labels", &pairs, "Labels of the secret."},
	{"name", &text, "The secret's real name."},
	{"template_driver", &text, "The template driver."},
}}}

var config = Value{Short: External, Keys: [][]Key{{
	{"content", &text, "The content itself."},
	{"environment", &text, "Environment variable that holds the content."},
	{"external", &external, "The config exists already and is not managed here."},
	{"file", &sourcePath, "File that holds the content."},
	{"labels", &pairs, "Labels of the config."},
	{"name", &text, "The config's real name."},
	{"template_driver", &text, "The template driver."},
}}}

var model = Value{Required: []string{"model"}, Keys: [][]Key{{
	{"context_size", &plainInt, "The size of the model's context."},
	{"model", &text, "The model's reference."},
	{"name", &text, "The model's real name."},
	{"runtime_flags", &plainTexts, "Flags for the model's runtime."},
}}}

var job = Value{Required: []string{"triggers"}, Keys: [][]Key{containerKeys, workloadKeys, {
	{"extends", &extends, "A job to take the definition from."},
	{"profiles", &texts, "Profiles that the job belongs to."},
	{"triggers", &Value{Keys: [][]Key{{
		{"manual", &flag, "The job may be started by hand."},
		{"schedule", &Value{List: &Value{Scalar: Text, Short: Cron, Required: []string{"cron"}, Keys: [][]Key{{
			{"concurrency", &Value{Scalar: Text, Enum: []string{"forbid", "queue"}}, "What to do when the last run is not over."},
			{"cron", &text, "When to run, as cron says it."},
			{"missed_fires", &Value{Scalar: Text, Enum: []string{"one", "skip"}}, "What to do about runs that were missed."},
			{"timezone", &text, "The time zone of the schedule."},
		}}}}, "When to run."},
	}}}, "What starts the job."},
}}}
