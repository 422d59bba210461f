package doctor

// Answer is what a probe found out.
type Answer string

// The answers. Inconclusive means that the probe could not tell, usually for
// want of privilege.
const (
	Yes          Answer = "yes"
	No           Answer = "no"
	Inconclusive Answer = "inconclusive"
)

// Finding is the answer about one feature.
type Finding struct {
	Feature string `json:"feature"`
	Answer  Answer `json:"answer"`
	// Detail is what was seen: versions, names, an error.
	Detail string `json:"detail,omitempty"`
	// Since is the kernel that brought the feature: "5.6"; may be empty.
	Since string `json:"since,omitempty"`
	// Remedy says what to do about a No.
	Remedy string `json:"remedy,omitempty"`
	// Required tells a feature that devstack cannot do without from one that
	// makes it better.
	Required bool `json:"required"`
}

// Fit reports whether nothing required is missing.
func Fit(findings []Finding) bool {
	for _, f := range findings {
		if f.Required && f.Answer == No {
			return false
		}
	}
	return true
}
