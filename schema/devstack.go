package schema

// Own are devstack's own settings, x-devstack, of a project and of a service.
// They are not of the Compose Specification, whose tools pass them over.
var (
	ownOfProject = Value{Keys: [][]Key{{
		{"ports", &portsChoice, "What to do when a published port is taken: auto takes another one, the same every time."},
	}}}

	ownOfService = Value{Keys: [][]Key{{
		{"hold", &Value{Scalar: Bool, Keys: [][]Key{{
			{"connections", &Value{Scalar: Int | Text}, "How many connections are held at a time."},
			{"drain", &period, "How long a restart waits for requests under way."},
			{"timeout", &period, "How long a connection is held."},
		}}}, "What becomes of connections to published ports while the service restarts."},
		{"ports", &portsChoice, "What to do when a published port of this service is taken."},
		{"watch", &Value{Scalar: Bool | Text, Keys: [][]Key{{
			{"action", &Value{Scalar: Text, Enum: []string{"sync", "sync+restart"}}, "What to do about copied files."},
			{"auto", &Value{Scalar: Bool}, "Derive rules from the Dockerfile."},
			{"ignore", &Value{Scalar: Text, List: &text}, "Patterns of files to leave out."},
			{"rebuild_on", &Value{Scalar: Text, List: &text}, "Patterns of files that need a build."},
		}}}, "Rules for changed files that are derived: auto, or a mapping."},
	}}}

	portsChoice = Value{Scalar: Text, Enum: []string{"auto", "fixed"}}
)
