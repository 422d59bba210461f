package child

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The table of this package, which may not import x/sys, is right.
func TestNumbers(t *testing.T) {
	for name, pair := range map[string][2]int{
		"open_tree": {sysOpenTree, unix.SYS_OPEN_TREE}, "move_mount": {sysMoveMount, unix.SYS_MOVE_MOUNT},
		"fsopen": {sysFsopen, unix.SYS_FSOPEN}, "fsconfig": {sysFsconfig, unix.SYS_FSCONFIG}, "fsmount": {sysFsmount, unix.SYS_FSMOUNT},
		"clone3": {sysClone3, unix.SYS_CLONE3}, "close_range": {sysCloseRange, unix.SYS_CLOSE_RANGE}, "openat2": {sysOpenat2, unix.SYS_OPENAT2},
		"mount_setattr": {sysMountSetattr, unix.SYS_MOUNT_SETATTR}, "setns": {sysSetns, unix.SYS_SETNS},
		"PR_SET_CHILD_SUBREAPER": {prSetChildSubreaper, unix.PR_SET_CHILD_SUBREAPER}, "seccomp": {sysSeccomp, unix.SYS_SECCOMP},
		"AT_FDCWD": {atFDCWD, unix.AT_FDCWD}, "AT_EMPTY_PATH": {atEmptyPath, unix.AT_EMPTY_PATH}, "AT_RECURSIVE": {atRecursive, unix.AT_RECURSIVE},
		"OPEN_TREE_CLONE": {openTreeCopy, unix.OPEN_TREE_CLONE}, "MOVE_MOUNT_F_EMPTY_PATH": {moveFEmpty, unix.MOVE_MOUNT_F_EMPTY_PATH},
		"MOVE_MOUNT_T_EMPTY_PATH": {moveTEmpty, unix.MOVE_MOUNT_T_EMPTY_PATH}, "FSCONFIG_SET_FLAG": {fsSetFlag, unix.FSCONFIG_SET_FLAG},
		"FSCONFIG_SET_STRING": {fsSetString, unix.FSCONFIG_SET_STRING}, "FSCONFIG_CMD_CREATE": {fsCreate, unix.FSCONFIG_CMD_CREATE},
		"FSOPEN_CLOEXEC": {cloexec, unix.FSOPEN_CLOEXEC}, "FSMOUNT_CLOEXEC": {cloexec, unix.FSMOUNT_CLOEXEC},
		"MOUNT_ATTR_RDONLY": {attrRdonly, unix.MOUNT_ATTR_RDONLY}, "RESOLVE_NO_XDEV": {resolveNoXdev, unix.RESOLVE_NO_XDEV},
		"RESOLVE_NO_MAGICLINKS": {resolveNoMagiclinks, unix.RESOLVE_NO_MAGICLINKS}, "RESOLVE_NO_SYMLINKS": {resolveNoSymlinks, unix.RESOLVE_NO_SYMLINKS},
		"RESOLVE_BENEATH": {resolveBeneath, unix.RESOLVE_BENEATH}, "RESOLVE_IN_ROOT": {resolveInRoot, unix.RESOLVE_IN_ROOT},
		"O_PATH": {oPath, unix.O_PATH}, "PR_SET_KEEPCAPS": {prSetKeepcaps, unix.PR_SET_KEEPCAPS}, "PR_CAPBSET_DROP": {prCapbsetDrop, unix.PR_CAPBSET_DROP},
		"PR_SET_DUMPABLE": {prSetDumpable, unix.PR_SET_DUMPABLE}, "PR_SET_NO_NEW_PRIVS": {prSetNoNewPrivs, unix.PR_SET_NO_NEW_PRIVS},
		"PR_CAP_AMBIENT": {prCapAmbient, unix.PR_CAP_AMBIENT}, "PR_CAP_AMBIENT_RAISE": {capAmbientRaise, unix.PR_CAP_AMBIENT_RAISE},
		"PR_CAP_AMBIENT_CLEAR_ALL": {capAmbientClear, unix.PR_CAP_AMBIENT_CLEAR_ALL}, "CLOSE_RANGE_CLOEXEC": {closeRangeCloexec, unix.CLOSE_RANGE_CLOEXEC},
		"PROC_SUPER_MAGIC": {magicProc, unix.PROC_SUPER_MAGIC}, "DEVPTS_SUPER_MAGIC": {magicDevpts, unix.DEVPTS_SUPER_MAGIC},
		"TIOCSCTTY": {tiocsctty, unix.TIOCSCTTY}, "TIOCSWINSZ": {tiocswinsz, unix.TIOCSWINSZ}, "TIOCGPTPEER": {tiocgptpeer, unix.TIOCGPTPEER},
		"TIOCSPTLCK": {tiocsptlck, unix.TIOCSPTLCK}, "KEYCTL_JOIN_SESSION_KEYRING": {keyctlJoinSession, unix.KEYCTL_JOIN_SESSION_KEYRING},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %#x, want %#x", name, pair[0], pair[1])
		}
	}
}

// The door opens before anything heavy is initialised, in a program that has
// much of it. See doc.go.
func TestDoorComesFirst(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join("testdata", "heavy")
	exe := filepath.Join(dir, "heavy")
	build := exec.Command("go", "build", "-o", exe, "./"+source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	run := exec.Command(exe)
	run.Env = []string{Door + "=" + DoorRun, "GODEBUG=inittrace=1"}
	out, _ := run.CombinedOutput() // ends with 125: nobody is on descriptor 3
	if code := run.ProcessState.ExitCode(); code != 125 {
		t.Fatalf("exit %d: the door stayed shut: %s", code, out)
	}
	for _, heavy := range []string{
		"encoding/json", "net", "net/http", "reflect", "time", "os", "golang.org/x/sys/unix", "regexp",
		"github.com/vishvananda/netlink", "github.com/moby/profiles/seccomp", "crypto/x509",
	} {
		if regexp.MustCompile(`(?m)^init ` + regexp.QuoteMeta(heavy) + ` @`).Match(out) {
			t.Errorf("%s is initialised before the door", heavy)
		}
	}
	count := strings.Count(string(out), "init ")
	const most = 25
	if count > most {
		t.Errorf("%d packages before the door, want at most %d:\n%s", count, most, out)
	}
	t.Logf("%d packages before the door", count)
}

// The child imports nothing that would close the door.
func TestImports(t *testing.T) {
	list := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, ".")
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(string(out)) {
		if name != "syscall" && name != "unsafe" {
			t.Errorf("imports %s", name)
		}
	}
}

func sample() Program {
	return Program{
		Name: "n", Target: -1, Joins: []Join{{"/proc/1/ns/net", 7}}, Unshare: 1 << 30, Fork: true, Propagate: 3,
		Submounts: []Submount{{"/a", "/b"}},
		Mounts:    []Mount{{Source: "s", Type: "tmpfs", Target: "/t", Options: []Option{{"k", "v", false}, {"f", "", true}}, Recursive: true, Attr: 1, NSPid: 4, Optional: true, Link: "l"}},
		Files:     []File{{"/etc/hosts", []byte("x"), 0o644, 1, 2}}, SetupDev: true, Devices: []Device{{"/dev/null", 0o20666, 259, 0, 0}},
		Masked: []string{"/proc/kcore"}, Readonly: []string{"/proc/sys"}, Sysctls: []Setting{{"net/x", "1"}}, Hostname: "h", SetHostname: true,
		Process: Process{
			Args: []string{"a", ""}, Env: []string{"B=c"}, Cwd: "/", Groups: []int{1, 2}, Bounding: 1 << 63, Rlimits: []Rlimit{{7, 1, 2}},
			OOMScoreAdj: -999, SetOOM: true, Seccomp: []byte{1, 2, 3},
		},
	}
}

func TestProgramSurvivesTheWire(t *testing.T) {
	want := sample()
	wire := want.Encode()
	var got Program
	if !got.Decode(wire[8:]) {
		t.Fatal("malformed")
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestFaultSurvivesTheWire(t *testing.T) {
	want := Fault{Op: "exec", Path: "/x", Errno: syscall.ENOENT, Text: "t"}
	b := encodeMessage(MsgFault, want.fields)
	kind, length := DecodeHead(b)
	got, ok := DecodeFault(b[MessageHead:])
	if kind != MsgFault || length != len(b)-MessageHead || !ok || got != want {
		t.Errorf("got %c %d %+v", kind, length, got)
	}
}

func FuzzDecode(f *testing.F) {
	p := sample()
	f.Add(p.Encode()[8:])
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Program
		if p.Decode(b) {
			var again Program
			if !again.Decode(p.Encode()[8:]) {
				t.Error("what was decoded cannot be encoded")
			}
		}
	})
}

func TestSplitAndParent(t *testing.T) {
	if got := split("//a/./b//../c/"); !reflect.DeepEqual(got, []string{"a", "b", "..", "c"}) {
		t.Errorf("got %q", got)
	}
	for path, want := range map[string][2]string{"/dev/null": {"/dev/", "null"}, "/x": {"/", "x"}, "x": {"/", "x"}, "/a/b/": {"/a/", "b"}} {
		if dir, name := parent(path); dir != want[0] || name != want[1] {
			t.Errorf("%s: %q %q", path, dir, name)
		}
	}
}

// ensure must make missing parts of a path, through links, inside the root.
func TestEnsure(t *testing.T) {
	dir := t.TempDir()
	rootDir, outside := dir+"/root", dir+"/outside"
	for _, d := range []string{rootDir + "/etc", outside} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"/abs": "/made/by/abs", "/up": "../../../../made/by/up", "/etc/resolv.conf": "../run/x/resolv.conf", "/loop": "/loop", "/out": outside,
	} {
		if err := os.Symlink(to, rootDir+link); err != nil {
			t.Fatal(err)
		}
	}
	root, err := unix.Open(rootDir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	for _, test := range []struct {
		path string
		dir  bool
		made string
		e    syscall.Errno
	}{
		{"/a/b/c", true, "/a/b/c", 0},
		{"/a/b/file", false, "/a/b/file", 0},
		{"/abs/x", true, "/made/by/abs/x", 0},
		{"/up", true, "/made/by/up", 0},
		{"/etc/resolv.conf", false, "/run/x/resolv.conf", 0},
		{"/../../esc", true, "/esc", 0},
		{"/out/x", true, outside + "/x", 0},
		{"/loop/x", true, "", syscall.ELOOP},
		{"/", true, "/", 0},
	} {
		fd, e := ensure(root, test.path, test.dir)
		if e != test.e {
			t.Errorf("%s: %v", test.path, e)
			continue
		}
		if e != 0 {
			continue
		}
		info, err := os.Stat(rootDir + test.made)
		if err != nil || info.IsDir() != test.dir {
			t.Errorf("%s: %v", test.path, err)
		}
		unix.Close(fd)
	}
	if entries, _ := os.ReadDir(outside); len(entries) != 0 {
		t.Errorf("made outside: %v", entries)
	}
}
