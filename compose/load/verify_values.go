package load

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"devstack/compose"
)

// values checks what has a form or a range that only the start would tell.
func (v *verifier) values(s *compose.Service) {
	if s.WorkingDir != "" && !path.IsAbs(s.WorkingDir) {
		v.unfit(s, "a path in the container begins with /", at("working_dir"), "working_dir of service %q: %s is not absolute", s.Name, quote(s.WorkingDir))
	}
	if s.Umask != nil && *s.Umask > 0o777 {
		v.unfit(s, "three octal digits, as 0022", at("umask"), "umask of service %q: %#o is more than 0777", s.Name, *s.Umask)
	}
	for i, text := range s.Expose {
		ports, proto, given := strings.Cut(text, "/")
		_, err := parsePortRange(ports)
		if err == nil && given && !transport(proto) {
			err = fmt.Errorf("%s is not a protocol", quote(proto))
		}
		if err != nil {
			v.unfit(s, "a port or a range, as 80, 53/udp or 8000-8010", at("expose", strconv.Itoa(i)), "expose of service %q: %v", s.Name, err)
		}
	}
	if b := s.BlkioConfig; b != nil {
		v.weight(s, b.Weight, "weight")
		for i, d := range b.WeightDevice {
			v.weight(s, d.Weight, "weight_device", strconv.Itoa(i), "weight")
		}
	}
}

// weight checks a share of block I/O: the kernel's range, and 0 for none.
func (v *verifier) weight(s *compose.Service, n uint16, keys ...string) {
	if n != 0 && (n < 10 || n > 1000) {
		v.unfit(s, "", append(at("blkio_config"), keys...), "blkio_config of service %q: a weight must be 10 to 1000", s.Name)
	}
}
