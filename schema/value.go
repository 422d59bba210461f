package schema

import "strings"

// Scalar is a set of scalar types.
type Scalar uint8

// The scalar types of YAML.
const (
	Text Scalar = 1 << iota
	Int
	Number // any number, whole or not
	Bool
	Null
)

// Meaning says what a scalar has to hold beyond its YAML type.
type Meaning uint8

// What a scalar holds.
const (
	Any         Meaning = iota
	Boolean             // true, false, or text that says so
	Integer             // a whole number, or text that holds one
	Decimal             // a number, or text that holds one
	Size                // bytes: 64m, 1.5gb, 1024
	Period              // a duration: 1m30s, 2d
	Micros              // microseconds, as a number or as a duration
	Pull                // a pull policy
	Octal               // a file mode
	Mask                // a umask
	ContainerID         // a container name
	Path                // a path that must not be empty
	Devices             // a number of devices, or "all"
)

// Short says how the short form of a value becomes its long form.
type Short uint8

// The short forms.
const (
	AsIs        Short = iota
	OneOrMore         // a scalar is a list of one
	Pairs             // a list of KEY=VALUE is a mapping
	Flags             // a list of names is a mapping to nothing
	DependsOn         // a list of services is a mapping to conditions
	Hosts             // a list of HOST=IP is a mapping of lists
	Words             // a line is split as a shell would
	ShellTest         // a line is ["CMD-SHELL", line]
	Context           // text is {context: text}
	Service           // text is {service: text}
	Source            // text is {source: text}
	Ports             // [[HOST:]PUBLISHED:]TARGET[/PROTOCOL], ranges expand
	MountSpec         // [SOURCE:]TARGET[:OPTIONS]
	DeviceSpec        // SOURCE[:TARGET[:PERMISSIONS]]
	EnvFileSpec       // text is {path: text, required: true}
	GPUs              // "all" is [{count: all}]
	External          // external: {name: X} is external: true and name: X
	Cron              // text is {cron: text}
	Include           // text is {path: [text]}
	Stringified       // any scalar is text
)

// Merge says what a later file does to the value of an earlier one.
type Merge uint8

// The merge rules.
const (
	Deep     Merge = iota // mappings merge, lists append, scalars replace
	Replace               // the later one stands alone, even when it is null
	Keyed                 // each key of the later one replaces, even by null
	SameKind              // merge two mappings, otherwise replace
	Driver                // merge when both name the same driver, otherwise replace
	Subnets               // list entries of the same subnet merge
)

// Unique says what makes two entries of a list the same; the later one wins.
type Unique uint8

// The identities of list entries.
const (
	Whole        Unique = iota // equal entries only
	ByKey                      // the part before "="
	ByTarget                   // target
	BySecretPath               // target, else /run/secrets/SOURCE
	ByConfigPath               // target, else /SOURCE
	ByPort                     // address, published and target port, protocol
	ByPath                     // path
	ByMountPoint               // the part before ":"
)

// Place says how a relative path is made absolute.
type Place uint8

// The kinds of path.
const (
	NoPath      Place = iota
	FilePath          // relative to the project directory, ~ is home
	ContextPath       // as FilePath, but URLs and service: stay
	SourcePath        // as FilePath, but Windows paths stay
	WatchPath         // as FilePath, with links resolved
)

// Names says which keys a mapping with free keys takes.
type Names uint8

// The rules for free keys.
const (
	AnyName Names = iota
	Object        // letters, digits, dot, underscore, hyphen
	Lower         // lower-case letters
)

// Value describes one place of the project file. A place takes a scalar, a
// list and a mapping as far as the fields for them are set.
type Value struct {
	Scalar  Scalar
	Meaning Meaning
	Enum    []string // the only texts allowed
	Min     int64    // with Max: the range of a number
	Max     int64

	List *Value // an entry of the list

	Keys     [][]Key // the known keys of a mapping, in sorted groups
	Map      *Value  // the value of a free key
	Names    Names
	Required []string // keys that the merged mapping must have
	Closed   bool     // x-* keys are not allowed

	Short  Short
	Merge  Merge
	Unique Unique
	Place  Place
}

// Key is a named entry of a mapping.
type Key struct {
	Name  string
	Value *Value
	Doc   string
}

// IsMapping reports whether a mapping may stand here.
func (v *Value) IsMapping() bool { return v.Keys != nil || v.Map != nil }

// Lookup finds what may stand under key, or nil.
func (v *Value) Lookup(key string) *Value {
	for _, group := range v.Keys {
		lo, hi := 0, len(group)
		for lo < hi {
			mid := int(uint(lo+hi) >> 1)
			if group[mid].Name < key {
				lo = mid + 1
			} else {
				hi = mid
			}
		}
		if lo < len(group) && group[lo].Name == key {
			return group[lo].Value
		}
	}
	if v.Map != nil && v.Names.Match(key) {
		return v.Map
	}
	return nil
}

// Match reports whether key is a name that n allows.
func (n Names) Match(key string) bool {
	if key == "" {
		return false
	}
	switch n {
	case Object:
		for i := range len(key) {
			c := key[i]
			ok := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-'
			if !ok {
				return false
			}
		}
	case Lower:
		return strings.Trim(key, "abcdefghijklmnopqrstuvwxyz") == ""
	}
	return true
}
