package cgroup

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// On v2 device access is decided by a program of type BPF_PROG_TYPE_CGROUP_DEVICE
// (Documentation/admin-guide/cgroup-v2.rst, "Device controller"). Its context is
//
//	struct bpf_cgroup_dev_ctx {
//		__u32 access_type; /* (access << 16) | type: 1 block, 2 char */
//		__u32 major;
//		__u32 minor;
//	};
//
// and it returns 1 for yes. The rules are an ordered list in which the last
// match wins, so the program tries them from the last to the first.

// instruction is struct bpf_insn.
type instruction struct {
	code     uint8
	dst, src uint8 // four bits each on the wire
	off      int16
	imm      int32
}

const (
	loadWord = 0x61 // BPF_LDX | BPF_MEM | BPF_W
	moveReg  = 0xbf
	moveImm  = 0xb7
	andImm   = 0x57
	rshImm   = 0x77
	jumpNE   = 0x55 // JNE dst, imm
	jumpNEx  = 0x5d // JNE dst, src
	bpfExit  = 0x95
)

// Registers: r1 context, r2 type, r3 access, r4 major, r5 minor.
func deviceProgram(rules []specs.LinuxDeviceCgroup) []instruction {
	prog := []instruction{
		{loadWord, 2, 1, 0, 0},
		{moveReg, 3, 2, 0, 0},
		{andImm, 2, 0, 0, 0xffff},
		{rshImm, 3, 0, 0, 16},
		{loadWord, 4, 1, 4, 0},
		{loadWord, 5, 1, 8, 0},
	}
	decided := false
	for i := len(rules) - 1; i >= 0 && !decided; i-- {
		block := deviceBlock(rules[i])
		prog = append(prog, block...)
		decided = rules[i].Type == "" || rules[i].Type == "a"
	}
	if !decided { // nothing matched: a new group may use everything
		prog = append(prog, verdict(true)...)
	}
	return prog
}

// deviceBlock is: skip to the end of the block unless all matches, else return.
func deviceBlock(r specs.LinuxDeviceCgroup) []instruction {
	var tests []instruction
	if r.Type == "b" || r.Type == "c" {
		kind := int32(1)
		if r.Type == "c" {
			kind = 2
		}
		tests = append(tests, instruction{jumpNE, 2, 0, 0, kind})
		access := accessBits(r.Access)
		if access != 7 {
			// The request must be a subset of the rule: (access & rule) == access.
			tests = append(tests,
				instruction{moveReg, 1, 3, 0, 0},
				instruction{andImm, 1, 0, 0, access},
				instruction{jumpNEx, 1, 3, 0, 0})
		}
		if r.Major != nil && *r.Major >= 0 {
			tests = append(tests, instruction{jumpNE, 4, 0, 0, int32(*r.Major)})
		}
		if r.Minor != nil && *r.Minor >= 0 {
			tests = append(tests, instruction{jumpNE, 5, 0, 0, int32(*r.Minor)})
		}
	}
	block := append(tests, verdict(r.Allow)...)
	for i := range block {
		if c := block[i].code; c == jumpNE || c == jumpNEx {
			block[i].off = int16(len(block) - i - 1)
		}
	}
	return block
}

func verdict(allow bool) []instruction {
	yes := int32(0)
	if allow {
		yes = 1
	}
	return []instruction{{moveImm, 0, 0, 0, yes}, {bpfExit, 0, 0, 0, 0}}
}

func accessBits(access string) int32 {
	if access == "" {
		return 7
	}
	bits := int32(0)
	for i, c := range "mrw" { // BPF_DEVCG_ACC_MKNOD 1, READ 2, WRITE 4
		if strings.ContainsRune(access, c) {
			bits |= 1 << i
		}
	}
	return bits
}

func attachDeviceFilter(dir *os.File, rules []specs.LinuxDeviceCgroup) error {
	prog, err := loadDeviceFilter(deviceProgram(rules))
	if err != nil {
		return fmt.Errorf("load device filter: %w", err)
	}
	defer unix.Close(prog)
	attr := struct{ target, prog, kind, flags uint32 }{
		uint32(dir.Fd()), uint32(prog), unix.BPF_CGROUP_DEVICE, unix.BPF_F_ALLOW_MULTI,
	}
	_, _, e := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_ATTACH, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if e != 0 {
		return fmt.Errorf("attach device filter: %w", e)
	}
	return nil
}

func loadDeviceFilter(prog []instruction) (int, error) {
	code := make([]byte, 0, len(prog)*8)
	for _, i := range prog {
		code = append(code, i.code, i.dst|i.src<<4, byte(i.off), byte(uint16(i.off)>>8),
			byte(i.imm), byte(uint32(i.imm)>>8), byte(uint32(i.imm)>>16), byte(uint32(i.imm)>>24))
	}
	license := []byte("Apache\x00")
	attr := struct {
		kind, count    uint32
		insns, license uint64
		logLevel, _    uint32
		log            uint64
		version, flags uint32
	}{
		kind: unix.BPF_PROG_TYPE_CGROUP_DEVICE, count: uint32(len(prog)),
		insns:   uint64(uintptr(unsafe.Pointer(&code[0]))),
		license: uint64(uintptr(unsafe.Pointer(&license[0]))),
	}
	for {
		fd, _, e := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
		runtime.KeepAlive(code)
		runtime.KeepAlive(license)
		if e == 0 {
			return int(fd), nil
		}
		if !errors.Is(e, unix.EAGAIN) {
			return -1, e
		}
	}
}
