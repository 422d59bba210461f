package seccomp

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/elastic/go-seccomp-bpf/arch"
	mobyseccomp "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
)

func TestTables(t *testing.T) {
	for name, pair := range map[specs.Arch]*arch.Info{
		specs.ArchX86_64: arch.X86_64, specs.ArchX86: arch.I386, specs.ArchX32: arch.X32,
		specs.ArchAARCH64: arch.AARCH64, specs.ArchARM: arch.ARM,
	} {
		ours := machines()[name].numbers()
		if len(ours) < len(pair.SyscallNames) {
			t.Errorf("%s: %d names, want %d", name, len(ours), len(pair.SyscallNames))
		}
		// Their x32 table has some names twice; 512 and above are x32's own.
		want := map[string]uint32{}
		for number, n := range pair.SyscallNumbers {
			want[n] = max(want[n], uint32(number))
		}
		for n, number := range want {
			if got, ok := ours[n]; !ok || got != number {
				t.Errorf("%s: %s is %d, want %d", name, n, got, number)
			}
		}
	}
}

// data is struct seccomp_data.
type data struct {
	nr, arch uint32
	args     [6]uint64
}

// vm runs a filter as the kernel does, but for the byte order of its words.
func vm(t testing.TB, filter []byte) func(data) uint32 {
	var program []bpf.Instruction
	for b := range slices.Chunk(filter, 8) {
		program = append(program, bpf.RawInstruction{
			Op: binary.NativeEndian.Uint16(b), Jt: b[2], Jf: b[3], K: binary.NativeEndian.Uint32(b[4:]),
		}.Disassemble())
	}
	m, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	return func(d data) uint32 {
		words := []uint32{d.nr, d.arch, 0, 0}
		for _, a := range d.args {
			words = append(words, uint32(a), uint32(a>>32))
		}
		var packet []byte
		for _, w := range words {
			packet = binary.BigEndian.AppendUint32(packet, w)
		}
		v, err := m.Run(packet)
		if err != nil {
			t.Fatal(err)
		}
		return uint32(v)
	}
}

// oracle says what a profile means, the slow and plain way.
func oracle(s *specs.LinuxSeccomp, m machine, d data) uint32 {
	def, _ := verdict(s.DefaultAction, s.DefaultErrnoRet)
	numbers := m.numbers()
	newest, any := uint32(0), false
	unconditional, have := uint32(0), false
	for _, e := range s.Syscalls {
		v, _ := verdict(e.Action, e.ErrnoRet)
		for _, name := range e.Names {
			n, ok := numbers[name]
			if !ok {
				continue
			}
			any = true
			if n < 0xf0000 {
				newest = max(newest, n)
			}
			if n|m.bit != d.nr {
				continue
			}
			if len(e.Args) == 0 {
				if !have {
					unconditional, have = v, true
				}
				continue
			}
			indices := map[uint]int{}
			for _, a := range e.Args {
				indices[a.Index]++
			}
			all, some := true, false
			for _, a := range e.Args {
				h := holds(a, d.args[a.Index])
				all, some = all && h, some || h
			}
			if all || (some && len(indices) < len(e.Args)) {
				return v
			}
		}
	}
	switch {
	case have:
		return unconditional
	case any && d.nr&^m.bit > newest && d.nr&^m.bit < 0xf0000 && def>>16 == retErrno>>16:
		return retErrno | enosys
	}
	return def
}

func holds(a specs.LinuxSeccompArg, v uint64) bool {
	switch a.Op {
	case specs.OpEqualTo:
		return v == a.Value
	case specs.OpNotEqual:
		return v != a.Value
	case specs.OpGreaterThan:
		return v > a.Value
	case specs.OpGreaterEqual:
		return v >= a.Value
	case specs.OpLessThan:
		return v < a.Value
	case specs.OpLessEqual:
		return v <= a.Value
	}
	return v&a.Value == a.ValueTwo
}

func defaultProfile(t testing.TB, caps ...string) *specs.LinuxSeccomp {
	s, err := mobyseccomp.GetDefaultProfile(&specs.Spec{Process: &specs.Process{
		Capabilities: &specs.LinuxCapabilities{Bounding: caps},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDefaultProfileAgainstOracle(t *testing.T) {
	for _, caps := range [][]string{nil, {"CAP_SYS_ADMIN"}, {"CAP_SYS_PTRACE", "CAP_SYS_MODULE"}} {
		s := defaultProfile(t, caps...)
		filter, _, err := Compile(s)
		if err != nil {
			t.Fatal(err)
		}
		const most = 600 // the kernel translates them for each container
		if n := len(filter) / 8; n > most {
			t.Errorf("%v: %d instructions, want at most %d", caps, n, most)
		}
		run := vm(t, filter)
		values := []uint64{0, 1, 8, 0x20000, 0x20008, 0xffffffff, 37, 38, 39, 40, 41, 1 << 32, 1<<32 | 38}
		archs, _ := architectures(s)
		for _, a := range archs {
			m := machines()[a]
			for nr := range uint32(560) {
				for _, v := range values {
					d := data{nr: nr | m.bit, arch: m.audit, args: [6]uint64{v, v}}
					if got, want := run(d), oracle(s, m, d); got != want {
						t.Fatalf("%s %d(%#x): got %#x, want %#x", a, nr, v, got, want)
					}
				}
			}
		}
		if got := run(data{nr: 1, arch: 0x1234}); got != retKillProcess {
			t.Errorf("foreign architecture: %#x", got)
		}
	}
}

// The flags of clone that make namespaces are the reason for its rule.
func TestCloneFlags(t *testing.T) {
	filter, _, err := Compile(defaultProfile(t))
	if err != nil {
		t.Fatal(err)
	}
	run := vm(t, filter)
	const clone = 56
	m := machines()[specs.ArchX86_64]
	if len(m.numbers()) == 0 || m.numbers()["clone"] != clone {
		t.Fatal("clone")
	}
	for flag, want := range map[uint64]uint32{
		0x11:       retAllow,         // SIGCHLD
		0x003d0f00: retAllow,         // pthread_create
		0x10000000: retErrno | eperm, // CLONE_NEWUSER
		0x00020000: retErrno | eperm, // CLONE_NEWNS
		0x40000000: retErrno | eperm, // CLONE_NEWNET
		0x20000011: retErrno | eperm, // CLONE_NEWPID
		0x02000000: retErrno | eperm, // CLONE_NEWCGROUP
		0x04000000: retErrno | eperm, // CLONE_NEWUTS
		0x08000000: retErrno | eperm, // CLONE_NEWIPC
	} {
		if got := run(data{nr: clone, arch: m.audit, args: [6]uint64{flag}}); got != want {
			t.Errorf("clone(%#x): got %#x, want %#x", flag, got, want)
		}
	}
	if got := run(data{nr: 435, arch: m.audit}); got != retErrno|enosys {
		t.Errorf("clone3: got %#x, want ENOSYS", got)
	}
}

// Every name that is skipped on this architecture is another machine's.
func TestNothingIsDropped(t *testing.T) {
	elsewhere := []string{
		"riscv_flush_icache", "riscv_hwprobe", "s390_pci_mmio_read", "s390_pci_mmio_write", "s390_runtime_instr",
		"swapcontext", "sync_file_range2",
	}
	known := map[string]bool{}
	for _, m := range machines() {
		for name := range m.numbers() {
			known[name] = true
		}
	}
	for _, e := range mobyseccomp.DefaultProfile().Syscalls {
		for _, name := range e.Names {
			if !known[name] && !slices.Contains(elsewhere, name) {
				t.Errorf("%s is in no table", name)
			}
		}
	}
}

func TestRandomProfilesAgainstOracle(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	names := []string{"read", "write", "open", "clone", "personality", "getpid", "openat2", "socket"}
	ops := []specs.LinuxSeccompOperator{
		specs.OpEqualTo, specs.OpNotEqual, specs.OpGreaterThan, specs.OpGreaterEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpMaskedEqual,
	}
	actions := []specs.LinuxSeccompAction{specs.ActAllow, specs.ActErrno, specs.ActKillProcess, specs.ActLog, specs.ActTrap}
	pick := []uint64{0, 1, 2, 0xffffffff, 1 << 32, 1<<32 | 1, 1<<63 | 5, 7}
	m := machines()[specs.ArchX86_64]
	for range 150 {
		s := &specs.LinuxSeccomp{DefaultAction: actions[r.IntN(len(actions))], Architectures: []specs.Arch{specs.ArchX86_64}}
		for range r.IntN(12) {
			e := specs.LinuxSyscall{Names: []string{names[r.IntN(len(names))]}, Action: actions[r.IntN(len(actions))]}
			for range r.IntN(4) {
				e.Args = append(e.Args, specs.LinuxSeccompArg{
					Index: uint(r.IntN(3)), Op: ops[r.IntN(len(ops))],
					Value: pick[r.IntN(len(pick))], ValueTwo: pick[r.IntN(len(pick))],
				})
			}
			s.Syscalls = append(s.Syscalls, e)
		}
		filter, _, err := Compile(s)
		if err != nil {
			t.Fatal(err)
		}
		run := vm(t, filter)
		for range 100 {
			d := data{nr: m.numbers()[names[r.IntN(len(names))]], arch: m.audit}
			for i := range 3 {
				d.args[i] = pick[r.IntN(len(pick))]
			}
			if got, want := run(d), oracle(s, m, d); got != want {
				t.Fatalf("%+v\n%+v: got %#x, want %#x", s, d, got, want)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, s := range []*specs.LinuxSeccomp{
		{DefaultAction: "SCMP_ACT_DANCE"},
		{DefaultAction: specs.ActNotify},
		{DefaultAction: specs.ActAllow, ListenerPath: "/x"},
		{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"X"}},
		{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{
			Names: []string{"read"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Index: 6, Op: specs.OpEqualTo}},
		}}},
		{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{
			Names: []string{"read"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Op: "SCMP_CMP_ODD"}},
		}}},
	} {
		if _, _, err := Compile(s); err == nil {
			t.Errorf("%+v was accepted", s)
		}
	}
}

func BenchmarkCompileDefault(b *testing.B) {
	s := defaultProfile(b)
	for b.Loop() {
		if _, _, err := Compile(s); err != nil {
			b.Fatal(err)
		}
	}
}

func ExampleCompile() {
	filter, _, _ := Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow})
	fmt.Println(len(filter) > 0)
	// Output: true
}
