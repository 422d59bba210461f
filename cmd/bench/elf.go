package main

import (
	"bytes"
	"encoding/binary"
)

// The programs of the measured services are a few instructions each, so that
// what is measured is starting them, not they. They exist for amd64; elsewhere
// bench itself plays both parts, at a Go program's cost.
//
// Idle waits for SIGTERM or SIGINT and then exits with 0, as a service should.
// It blocks both first: pid 1 of a namespace does not get a signal that it
// neither blocks nor handles.
const (
	machineAMD64 = 62

	codeTrue = "\x31\xff" + // xor edi, edi
		"\xb8\xe7\x00\x00\x00" + // mov eax, exit_group
		"\x0f\x05" // syscall

	codeIdle = "\x68\x02\x40\x00\x00" + // push 1<<(SIGINT-1) | 1<<(SIGTERM-1)
		"\x31\xff" + // xor edi, edi            SIG_BLOCK
		"\x48\x89\xe6" + // mov rsi, rsp
		"\x31\xd2" + // xor edx, edx
		"\x41\xba\x08\x00\x00\x00" + // mov r10d, 8
		"\xb8\x0e\x00\x00\x00" + // mov eax, rt_sigprocmask
		"\x0f\x05" + // syscall
		"\x48\x89\xe7" + // again: mov rdi, rsp
		"\x31\xf6" + // xor esi, esi
		"\xb8\x80\x00\x00\x00" + // mov eax, rt_sigtimedwait
		"\x0f\x05" + // syscall
		"\x85\xc0" + // test eax, eax
		"\x78\xf0" + // js again
		codeTrue
)

// elfFile wraps code into the smallest executable: a header and one segment.
func elfFile(machine uint16, code string) []byte {
	const (
		base   = 0x400000
		header = 64 + 56
	)
	size := uint64(header + len(code))
	var b bytes.Buffer
	b.WriteString("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	for _, field := range []any{
		uint16(2), machine, uint32(1), // executable, version 1
		uint64(base + header), uint64(64), uint64(0), // entry, program headers, no sections
		uint32(0), uint16(64), uint16(56), uint16(1), uint16(0), uint16(0), uint16(0),
		uint32(1), uint32(5), uint64(0), uint64(base), uint64(base), size, size, uint64(0x1000), // load, r-x
	} {
		binary.Write(&b, binary.LittleEndian, field) // to a Buffer: never fails
	}
	b.WriteString(code)
	return b.Bytes()
}
