package schema

// Own are devstack's own settings, x-devstack, of a project and of a service.
// They are not of the Compose Specification, whose tools pass them over.
var (
	ownOfProject = Value{Keys: [][]Key{{
		{"ports", &portsChoice, "What to do when a published port is taken: auto takes another one, the same every time."},
	}}}

	ownOfService = Value{Keys: [][]Key{{
		{"build", &Value{Keys: [][]Key{{
			{"compression", &Value{Scalar: Text, Enum: []string{"gzip", "zstd", "none"}}, "Compression of the layers that a build makes."},
			{"modes", &Value{Scalar: Text, Enum: []string{"plain", "keep"}}, "Modes of files from build contexts: plain makes them 0644 or 0755, whatever the clone's umask."},
		}}}, "How the image of this service is made."},
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
