package guard

// Package strconv is not among the packages that os imports.

func itoa(n int) string {
	var digits [20]byte
	at := len(digits)
	negative := n < 0
	if negative {
		n = -n
	}
	for {
		at--
		digits[at] = byte('0' + n%10)
		if n /= 10; n == 0 {
			break
		}
	}
	if negative {
		at--
		digits[at] = '-'
	}
	return string(digits[at:])
}

// atoi reads a number without a sign; -1 is none.
func atoi(s string) int {
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' || n > 1<<24 {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	if s == "" {
		return -1
	}
	return n
}

func hasPrefix(s, prefix string) bool {
	return len(s) >= len(prefix) && s[:len(prefix)] == prefix
}
