package schema

// Shapes that many keys share. The list they come from is the `$defs` of the
// Compose Specification's own schema.
var (
	text       = Value{Scalar: Text}
	textOrNull = Value{Scalar: Text | Null}
	flag       = Value{Scalar: Bool | Text, Meaning: Boolean}
	integer    = Value{Scalar: Int | Text, Meaning: Integer}
	plainInt   = Value{Scalar: Int, Meaning: Integer}
	count      = Value{Scalar: Int | Number | Text, Meaning: Integer}
	decimal    = Value{Scalar: Number | Int | Text, Meaning: Decimal}
	size       = Value{Scalar: Number | Int | Text, Meaning: Size}
	period     = Value{Scalar: Text, Meaning: Period}
	micros     = Value{Scalar: Number | Int | Text, Meaning: Micros}
	textOrNum  = Value{Scalar: Text | Number | Int}
	anyScalar  = Value{Scalar: Text | Number | Int | Bool | Null}
	option     = Value{Scalar: Text | Number | Int | Null}
	filePath   = Value{Scalar: Text, Place: FilePath}
	sourcePath = Value{Scalar: Text, Place: SourcePath}

	texts       = Value{List: &text, Unique: ByKey}
	plainTexts  = Value{List: &text}
	uniqueTexts = Value{List: &text, Unique: Whole}
	textOrList  = Value{Scalar: Text, List: &text, Short: OneOrMore}
	keyedTexts  = Value{Scalar: Text, List: &text, Short: OneOrMore, Unique: ByKey}
	numOrTexts  = Value{List: &textOrNum}

	pairs   = Value{List: &text, Map: &anyScalar, Short: Pairs, Merge: Keyed}
	options = Value{Map: &option}
	textMap = Value{Map: &text}
	hosts   = Value{List: &text, Map: &Value{Scalar: Text, List: &text}, Short: Hosts}
	command = Value{Scalar: Text | Null, List: &text, Short: Words, Merge: Replace}

	// external: a truth, or (deprecated) a mapping with the real name.
	external = Value{Scalar: Bool | Text, Meaning: Boolean, Keys: [][]Key{{{"name", &text, "Deprecated: set name beside external: true."}}}}

	ulimits = Value{Names: Lower, Map: &Value{
		Scalar: Int | Text, Meaning: Integer, Merge: SameKind,
		Keys: [][]Key{{
			{"hard", &integer, "The most a process may raise the limit to."},
			{"soft", &integer, "The limit in force."},
		}},
		Required: []string{"soft", "hard"},
	}}

	fileReference = Value{Scalar: Text, Short: Source, Keys: [][]Key{{
		{"gid", &text, "Group id of the file in the container."},
		{"mode", &Value{Scalar: Number | Int | Text, Meaning: Octal}, "Mode of the file in the container, in octal."},
		{"source", &text, "Name of the config or secret at the top level."},
		{"target", &text, "Path of the file in the container."},
		{"uid", &text, "User id of the file in the container."},
	}}}

	deviceRequest = Value{Keys: [][]Key{{
		{"capabilities", &uniqueTexts, "What the device must be capable of, as gpu."},
		{"count", &Value{Scalar: Text | Int, Meaning: Devices}, "How many devices, or all."},
		{"device_ids", &uniqueTexts, "The devices by id."},
		{"driver", &text, "The device driver."},
		{"options", &pairs, "Options for the driver."},
	}}}
	reservedDevice = Value{Keys: deviceRequest.Keys, Required: []string{"capabilities"}}

	hook = Value{Required: []string{"command"}, Keys: [][]Key{{
		{"command", &command, "The command to run."},
		{"environment", &pairs, "Environment of the command."},
		{"privileged", &flag, "Run the command with all privileges."},
		{"user", &text, "User to run the command as."},
		{"working_dir", &text, "Directory to run the command in."},
	}}}
)
