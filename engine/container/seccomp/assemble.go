package seccomp

import (
	"maps"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// instruction is struct sock_filter.
type instruction struct {
	code   uint16
	jt, jf uint8
	k      uint32
}

const (
	opLoad   = 0x20 // BPF_LD | BPF_W | BPF_ABS
	opAnd    = 0x54 // BPF_ALU | BPF_AND | BPF_K
	opJump   = 0x05 // BPF_JMP | BPF_JA
	opJeq    = 0x15
	opJgt    = 0x25
	opJge    = 0x35
	opReturn = 0x06
)

// Offsets in struct seccomp_data, little endian: all machines with a table are.
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArgs   = 16
)

// assemble emits
//
//	load arch; for each machine: if arch == it, its section; kill
//
// and a section is a binary search over ranges of numbers. On x86-64 numbers
// with the x32 bit form the upper part of the same section.
func assemble(s *specs.LinuxSeccomp) ([]instruction, error) {
	def, err := verdict(s.DefaultAction, s.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	archs, err := architectures(s)
	if err != nil {
		return nil, err
	}
	sections := map[uint32][]span{}
	var order []uint32
	for _, a := range archs {
		m := machines()[a]
		calls, err := rules(s, m, def)
		if err != nil {
			return nil, err
		}
		if sections[m.audit] == nil {
			order = append(order, m.audit)
		}
		sections[m.audit] = append(sections[m.audit], spans(calls, m, def)...)
	}
	const auditX86_64 = 0xc000003e
	if own := sections[auditX86_64]; own != nil && !slices.Contains(archs, specs.ArchX32) {
		sections[auditX86_64] = append(own, span{x32Bit, ret(retKillProcess)})
	}
	w := writer{verdicts: map[uint32]int{}}
	next := w.verdict(retKillProcess)
	for _, audit := range slices.Backward(order) {
		w.jump(w.search(sections[audit]))
		w.put(instruction{code: opLoad, k: offsetNumber})
		w.put(instruction{code: opJump, k: uint32(w.distance(next))})
		w.put(instruction{code: opJeq, jt: 1, k: audit})
		next = w.here()
	}
	w.put(instruction{code: opLoad, k: offsetArch})
	slices.Reverse(w.back)
	return w.back, nil
}

// span is what happens from a number on, until the next span.
type span struct {
	from uint32
	code []instruction
}

// spans covers all numbers of a machine. Numbers above the highest that the
// profile names are newer than the profile: ENOSYS, if it denies by errno.
func spans(calls map[uint32]*call, m machine, def uint32) []span {
	const private = 0xf0000 // ARM's own calls: not newer, only far away
	all := []span{{m.bit, ret(def)}}
	next := uint32(0)
	newest := uint32(0)
	for n := range calls {
		if n < private {
			newest = max(newest, n)
		}
	}
	beyond := ret(def)
	if def>>16 == retErrno>>16 && len(calls) > 0 {
		beyond = ret(retErrno | enosys)
	}
	add := func(from uint32, code []instruction) {
		if last := &all[len(all)-1]; last.from == m.bit+from {
			last.code = code
		} else if !slices.Equal(last.code, code) {
			all = append(all, span{m.bit + from, code})
		}
	}
	for _, n := range slices.Sorted(maps.Keys(calls)) {
		if n > next {
			gap := ret(def)
			if next > newest {
				gap = beyond
			}
			add(next, gap)
		}
		add(n, calls[n].code())
		next = n + 1
	}
	add(next, beyond)
	return all
}

func ret(v uint32) []instruction { return []instruction{{code: opReturn, k: v}} }

// code emits the rules in order; one that does not hold jumps to the next.
func (c *call) code() []instruction {
	if v, ok := c.plain(); ok {
		return ret(v)
	}
	var program []instruction
	for _, r := range c.rules {
		var tests []instruction
		for _, a := range r.conditions {
			tests = append(tests, operators()[a.Op](a)...)
		}
		for i := range tests {
			out := uint8(len(tests) - i) // behind the verdict
			if tests[i].jt == fail {
				tests[i].jt = out
			}
			if tests[i].jf == fail {
				tests[i].jf = out
			}
		}
		program = append(append(program, tests...), ret(r.verdict)...)
	}
	return program
}

// fail marks a jump to the next rule until its distance is known.
const fail = 255

func loadHigh(a specs.LinuxSeccompArg) instruction {
	return instruction{code: opLoad, k: offsetArgs + 8*uint32(a.Index) + 4}
}

func loadLow(a specs.LinuxSeccompArg) instruction {
	return instruction{code: opLoad, k: offsetArgs + 8*uint32(a.Index)}
}

// operators compare a 64-bit argument in two halves. They fall through if the
// condition holds.
func operators() map[specs.LinuxSeccompOperator]func(specs.LinuxSeccompArg) []instruction {
	return map[specs.LinuxSeccompOperator]func(specs.LinuxSeccompArg) []instruction{
		specs.OpEqualTo: func(a specs.LinuxSeccompArg) []instruction {
			return equal(a, ^uint64(0), a.Value)
		},
		specs.OpMaskedEqual: func(a specs.LinuxSeccompArg) []instruction {
			return equal(a, a.Value, a.ValueTwo)
		},
		specs.OpNotEqual: func(a specs.LinuxSeccompArg) []instruction {
			high, low := halves(a.Value)
			return []instruction{
				loadHigh(a),
				{code: opJeq, k: high, jf: 2},
				loadLow(a),
				{code: opJeq, k: low, jt: fail},
			}
		},
		specs.OpGreaterThan: func(a specs.LinuxSeccompArg) []instruction {
			return above(a, opJgt)
		},
		specs.OpGreaterEqual: func(a specs.LinuxSeccompArg) []instruction {
			return above(a, opJge)
		},
		specs.OpLessThan: func(a specs.LinuxSeccompArg) []instruction {
			return notAbove(a, opJge)
		},
		specs.OpLessEqual: func(a specs.LinuxSeccompArg) []instruction {
			return notAbove(a, opJgt)
		},
	}
}

func halves(v uint64) (high, low uint32) { return uint32(v >> 32), uint32(v) }

func equal(a specs.LinuxSeccompArg, mask, value uint64) []instruction {
	maskHigh, maskLow := halves(mask)
	high, low := halves(value)
	return append(equalHalf(loadHigh(a), maskHigh, high), equalHalf(loadLow(a), maskLow, low)...)
}

func equalHalf(load instruction, mask, value uint32) []instruction {
	test := instruction{code: opJeq, k: value, jf: fail}
	if mask == ^uint32(0) {
		return []instruction{load, test}
	}
	return []instruction{load, {code: opAnd, k: mask}, test}
}

// above holds if the argument is above the value; op decides about equality.
func above(a specs.LinuxSeccompArg, op uint16) []instruction {
	high, low := halves(a.Value)
	return []instruction{
		loadHigh(a),
		{code: opJgt, k: high, jt: 3},
		{code: opJeq, k: high, jf: fail},
		loadLow(a),
		{code: op, k: low, jf: fail},
	}
}

// notAbove is its opposite.
func notAbove(a specs.LinuxSeccompArg, op uint16) []instruction {
	high, low := halves(a.Value)
	return []instruction{
		loadHigh(a),
		{code: opJgt, k: high, jt: fail},
		{code: opJeq, k: high, jf: 2},
		loadLow(a),
		{code: op, k: low, jt: fail},
	}
}
