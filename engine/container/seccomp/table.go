package seccomp

import (
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// machine is an architecture as the filter sees it.
type machine struct {
	audit uint32 // AUDIT_ARCH_*, seccomp_data.arch
	bit   uint32 // added to every number (x32)
	table string
}

const x32Bit = 0x40000000

func machines() map[specs.Arch]machine {
	return map[specs.Arch]machine{
		specs.ArchX86_64:  {0xc000003e, 0, tableX86_64},
		specs.ArchX86:     {0x40000003, 0, tableX86},
		specs.ArchX32:     {0xc000003e, x32Bit, tableX32},
		specs.ArchAARCH64: {0xc00000b7, 0, tableARM64},
		specs.ArchARM:     {0x40000028, 0, tableARM},
	}
}

// numbers parses a table: "0 read;1 write\n...".
func (m machine) numbers() map[string]uint32 {
	names := make(map[string]uint32, 512)
	for line := range strings.SplitSeq(m.table, "\n") {
		for entry := range strings.SplitSeq(line, ";") {
			number, name, _ := strings.Cut(entry, " ")
			if n, err := strconv.ParseUint(number, 10, 32); err == nil {
				names[name] = uint32(n)
			}
		}
	}
	return names
}
