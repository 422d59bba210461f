package client

import (
	"strconv"
	"strings"
)

// compareVersions orders versions such as "1.2.3", "v1.2.3-rc.1" and "dev".
// What is no number counts less than any number, so "dev" is below "0.1", and a
// version with a suffix is below the one without.
func compareVersions(a, b string) int {
	a, aPre, aHasPre := strings.Cut(strings.TrimPrefix(a, "v"), "-")
	b, bPre, bHasPre := strings.Cut(strings.TrimPrefix(b, "v"), "-")
	if c := compareDotted(a, b); c != 0 {
		return c
	}
	switch {
	case aHasPre && !bHasPre:
		return -1
	case !aHasPre && bHasPre:
		return 1
	}
	return compareDotted(aPre, bPre)
}

func compareDotted(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		x, y := "0", "0"
		if i < len(as) {
			x = as[i]
		}
		if i < len(bs) {
			y = bs[i]
		}
		if c := comparePart(x, y); c != 0 {
			return c
		}
	}
	return 0
}

func comparePart(x, y string) int {
	n, xErr := strconv.ParseUint(x, 10, 64)
	m, yErr := strconv.ParseUint(y, 10, 64)
	switch {
	case xErr == nil && yErr == nil && n != m:
		if n < m {
			return -1
		}
		return 1
	case xErr == nil && yErr != nil:
		return 1
	case xErr != nil && yErr == nil:
		return -1
	case xErr != nil:
		return strings.Compare(x, y)
	}
	return 0
}
