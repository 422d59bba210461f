package fieldtest

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestLinks follows every link of the documentation that stays in the repository.
func TestLinks(t *testing.T) {
	top := filepath.Join("..", "..", "..")
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	for _, page := range []string{"README.md", "ARCHITECTURE.md", "CHANGELOG.md"} {
		text, err := os.ReadFile(filepath.Join(top, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(top, m[1])); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			}
		}
	}
}
