package child

// Door is the environment variable that turns this binary into the nursery of
// children; its value is DoorRun. Its argv is "devstack child" for those who
// look at ps.
const (
	Door    = "_DEVSTACK_CHILD"
	DoorRun = "run"
)

// Descriptors at fixed places.
const (
	FDSocket = 3
	FDExe    = 4 // of the nursery: the protected binary, which is executed by this number
	FDTarget = 5 // of a child: Program.Target, pidfd of the container to enter
)

// Flags of an order to the nursery, which is this one byte. With it come the
// standard descriptors, the child's socket, those that the flags announce, and
// the tasks files of v1 groups to enter.
const (
	OrderNewPID = 1 << iota // the child begins a pid namespace
	OrderTarget             // a descriptor for FDTarget
	OrderCgroup             // the directory of the v2 group to be born in
)

// MostOrderFDs is how many descriptors come with an order at most.
const MostOrderFDs = 32

// Program is a container's birth (or a process's entry into a running one)
// compiled to plain values. -1 stands for an absent descriptor.
type Program struct {
	Name string // of the session keyring

	// Namespaces.
	Target    int    // pidfd of the container to enter, for exec; else -1
	TargetNS  int    // CLONE_NEW* flags to enter of it
	Joins     []Join // by path, in order
	Unshare   int    // CLONE_NEW* flags to make
	Fork      bool   // to be in the pid namespace that was joined
	Propagate int    // MS_* of the whole tree before anything is attached

	// Root filesystem; empty for exec.
	RootFD       int // detached mount of the root; comes as SCM_RIGHTS with the first byte, not on the wire
	Submounts    []Submount
	Mounts       []Mount
	Files        []File
	SetupDev     bool
	Devices      []Device
	Masked       []string
	Readonly     []string
	ReadonlyRoot bool
	Sysctls      []Setting

	SetHostname   bool
	Hostname      string
	SetDomainname bool
	Domainname    string

	Process Process
	Init    bool
}

// Join enters one namespace by path.
type Join struct {
	Path string
	Flag int
}

// Submount is attached read-only, with what is mounted below it.
type Submount struct{ Source, Target string }

// Mount is one mount of the spec. Type "" means bind, "symlink" makes a link and
// "attributes" changes the flags of a mount made before.
type Mount struct {
	Source, Type, Target string
	Options              []Option
	Recursive            bool
	Attr                 int // MOUNT_ATTR_* to set on the mount itself
	AttrClear            int
	TreeAttr             int // the same for the whole tree
	TreeAttrClear        int
	Propagation          int // MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_UNBINDABLE; 0: MS_PRIVATE
	TreePropagation      bool
	NSPid                int    // bind from the mount namespace of this process
	Held                 bool   // NSPid holds Source open: it is a link in /proc/NSPid/fd
	Optional             bool   // a missing source is not a fault
	Link                 string // Type "symlink": the link's content
}

// Option is one option of a filesystem; Flag means it has no value.
type Option struct {
	Key, Value string
	Flag       bool
}

// File is a small file that is mounted over Path.
type File struct {
	Path string
	Data []byte
	Mode int
	UID  int
	GID  int
}

// Device is one node below the root.
type Device struct {
	Path     string
	Mode     int // with the S_IF* type
	Dev      uint64
	UID, GID int
}

// Setting is one sysctl: the path below /proc/sys.
type Setting struct{ Path, Value string }

// Rlimit is one resource limit.
type Rlimit struct {
	Resource   int
	Soft, Hard uint64
}

// Process is the identity that is executed.
type Process struct {
	Terminal    bool
	Rows, Cols  int
	Args, Env   []string
	Cwd         string
	MakeCwd     bool
	UID, GID    int
	Groups      []int
	Umask       int
	Bounding    uint64
	Effective   uint64
	Permitted   uint64
	Inheritable uint64
	Ambient     uint64
	LastCap     int
	NoNewPrivs  bool
	Rlimits     []Rlimit
	SetOOM      bool
	OOMScoreAdj int
	Seccomp     []byte // struct sock_filter, native order; empty: none
	SeccompFlag int
	Keyring     bool
	ChownStdio  bool
}

// Encode returns the wire form: the length, then the fields.
func (p *Program) Encode() []byte {
	c := codec{buf: make([]byte, 8, 8192)}
	p.fields(&c)
	head := codec{}
	n := uint64(len(c.buf) - 8)
	head.num(&n)
	copy(c.buf, head.buf)
	return c.buf
}

// Decode reads what follows the length. It reports whether b was well formed
// and used up.
func (p *Program) Decode(b []byte) bool {
	c := codec{buf: b, reading: true}
	p.fields(&c)
	return !c.bad && len(c.buf) == 0
}

func (p *Program) fields(c *codec) {
	c.str(&p.Name)
	c.int(&p.Target)
	c.int(&p.TargetNS)
	list(c, &p.Joins, func(c *codec, j *Join) { c.str(&j.Path); c.int(&j.Flag) })
	c.int(&p.Unshare)
	c.flag(&p.Fork)
	c.int(&p.Propagate)
	list(c, &p.Submounts, func(c *codec, s *Submount) { c.str(&s.Source); c.str(&s.Target) })
	list(c, &p.Mounts, (*codec).mount)
	list(c, &p.Files, func(c *codec, f *File) {
		c.str(&f.Path)
		c.bytes(&f.Data)
		c.int(&f.Mode)
		c.int(&f.UID)
		c.int(&f.GID)
	})
	c.flag(&p.SetupDev)
	list(c, &p.Devices, func(c *codec, d *Device) {
		c.str(&d.Path)
		c.int(&d.Mode)
		c.num(&d.Dev)
		c.int(&d.UID)
		c.int(&d.GID)
	})
	texts(c, &p.Masked)
	texts(c, &p.Readonly)
	c.flag(&p.ReadonlyRoot)
	list(c, &p.Sysctls, func(c *codec, s *Setting) { c.str(&s.Path); c.str(&s.Value) })
	c.flag(&p.SetHostname)
	c.str(&p.Hostname)
	c.flag(&p.SetDomainname)
	c.str(&p.Domainname)
	c.process(&p.Process)
	c.flag(&p.Init)
}

func (c *codec) mount(m *Mount) {
	c.str(&m.Source)
	c.str(&m.Type)
	c.str(&m.Target)
	list(c, &m.Options, func(c *codec, o *Option) { c.str(&o.Key); c.str(&o.Value); c.flag(&o.Flag) })
	c.flag(&m.Recursive)
	c.int(&m.Attr)
	c.int(&m.AttrClear)
	c.int(&m.TreeAttr)
	c.int(&m.TreeAttrClear)
	c.int(&m.Propagation)
	c.flag(&m.TreePropagation)
	c.int(&m.NSPid)
	c.flag(&m.Held)
	c.flag(&m.Optional)
	c.str(&m.Link)
}

func (c *codec) process(p *Process) {
	c.flag(&p.Terminal)
	c.int(&p.Rows)
	c.int(&p.Cols)
	texts(c, &p.Args)
	texts(c, &p.Env)
	c.str(&p.Cwd)
	c.flag(&p.MakeCwd)
	c.int(&p.UID)
	c.int(&p.GID)
	numbers(c, &p.Groups)
	c.int(&p.Umask)
	c.num(&p.Bounding)
	c.num(&p.Effective)
	c.num(&p.Permitted)
	c.num(&p.Inheritable)
	c.num(&p.Ambient)
	c.int(&p.LastCap)
	c.flag(&p.NoNewPrivs)
	list(c, &p.Rlimits, func(c *codec, r *Rlimit) { c.int(&r.Resource); c.num(&r.Soft); c.num(&r.Hard) })
	c.flag(&p.SetOOM)
	c.int(&p.OOMScoreAdj)
	c.bytes(&p.Seccomp)
	c.int(&p.SeccompFlag)
	c.flag(&p.Keyring)
	c.flag(&p.ChownStdio)
}
