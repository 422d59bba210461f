package image

import "errors"

// ErrNotFound says that an image is not where it was looked for.
var ErrNotFound = errors.New("image not found")

// Error is a failure about one image, with advice for the user. Its text
// names the image and the cause; Hint says what to do next.
type Error struct {
	Ref  string // as the user wrote it
	Op   string // "pull", "open", "unpack", ...
	Err  error
	Hint string
}

func (e *Error) Error() string {
	return e.Op + " image " + e.Ref + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Hint is the advice that err carries, or "".
func Hint(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}
