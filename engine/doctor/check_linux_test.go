package doctor

import (
	"os"
	"slices"
	"testing"
)

// TestCheck runs the real probes: each answers, and a No or an Inconclusive
// says what to do.
func TestCheck(t *testing.T) {
	before := namesIn(t, "/sys/class/net")
	findings := Check()
	if len(findings) < 15 {
		t.Fatalf("%d findings", len(findings))
	}
	for _, f := range findings {
		t.Logf("%-20s %-13s %s", f.Feature, f.Answer, f.Detail)
		if f.Answer != Yes && f.Remedy == "" {
			t.Errorf("%s: %s without a remedy", f.Feature, f.Answer)
		}
		if f.Answer == Yes && f.Remedy != "" {
			t.Errorf("%s: works, but has the remedy %q", f.Feature, f.Remedy)
		}
	}
	if after := namesIn(t, "/sys/class/net"); !slices.Equal(before, after) {
		t.Errorf("interfaces before %v, after %v", before, after)
	}
}

func TestFit(t *testing.T) {
	missing := Finding{Answer: No, Required: true}
	tests := []struct {
		findings []Finding
		want     bool
	}{
		{nil, true},
		{[]Finding{{Answer: No}, {Answer: Inconclusive, Required: true}}, true},
		{[]Finding{{Answer: Yes, Required: true}, missing}, false},
	}
	for _, tt := range tests {
		if got := Fit(tt.findings); got != tt.want {
			t.Errorf("Fit(%v) = %v", tt.findings, got)
		}
	}
}

func namesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
