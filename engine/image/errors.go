package image

import "errors"

// ErrNotFound says that an image is not where it was looked for.
var ErrNotFound = errors.New("image not found")

// AbsentError is ErrNotFound of the store.
type AbsentError struct {
	Ref      string // familiar
	Platform string // "" for any
}

func (e *AbsentError) Error() string { return "image " + e.Ref + " " + e.predicate() }

func (e *AbsentError) predicate() string {
	if e.Platform == "" {
		return "is not in the store"
	}
	return "is not in the store for platform " + e.Platform
}

// Unwrap makes it an ErrNotFound.
func (e *AbsentError) Unwrap() error { return ErrNotFound }

// Error is a failure about one image, with advice for the user. Its text
// names the image and the cause; Hint says what to do next.
type Error struct {
	Ref  string // as the user wrote it
	Op   string // "pull", "open", "unpack", ...
	Err  error
	Hint string
}

func (e *Error) Error() string {
	cause := e.Err.Error()
	if absent, ok := e.Err.(*AbsentError); ok {
		cause = "it " + absent.predicate()
	}
	return e.Op + " image " + e.Ref + ": " + cause
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
