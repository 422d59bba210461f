package api

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// BuildOf identifies the binary at path: its modification time, so that two
// builds can be put in order, and its size. A program asks about its own as
// "/proc/self/exe", which stays right when the file has been replaced.
func BuildOf(path string) (string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("identify build: %w", err)
	}
	return fmt.Sprintf("%d-%d", st.ModTime().UnixNano(), st.Size()), nil
}

// NewerBuild says whether build a was made after b.
func NewerBuild(a, b string) bool {
	return buildTime(a) > buildTime(b)
}

func buildTime(build string) int64 {
	digits, _, _ := strings.Cut(build, "-")
	t, _ := strconv.ParseInt(digits, 10, 64)
	return t
}
