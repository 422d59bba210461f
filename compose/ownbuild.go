package compose

import "fmt"

// OwnBuild is what x-devstack.build says of the image that a service builds.
// The zero value is the default.
type OwnBuild struct {
	// KeepModes takes the modes of files from the context as they are, instead
	// of 0644 and 0755.
	KeepModes   bool
	Compression string // of layers: gzip, zstd or none; "" is the default
}

// OwnBuild reads x-devstack.build:
//
//	x-devstack:
//	  build: {modes: keep, compression: zstd}
func (s *Service) OwnBuild() (OwnBuild, error) {
	var b OwnBuild
	own, err := section(s.Extensions, ExtensionKey)
	if err != nil {
		return b, err
	}
	settings, err := section(own, "build")
	if err != nil {
		return b, err
	}
	for key, value := range settings {
		switch {
		case key == "modes" && (value == "keep" || value == "plain"):
			b.KeepModes = value == "keep"
		case key == "modes":
			return b, fmt.Errorf("build.modes: %v is neither plain nor keep", value)
		case key == "compression" && (value == "gzip" || value == "zstd" || value == "none"):
			b.Compression = value.(string)
		case key == "compression":
			return b, fmt.Errorf("build.compression: %v is not one of gzip, zstd, none", value)
		default:
			return b, fmt.Errorf("build.%s: unknown key; known are modes and compression", key)
		}
	}
	return b, nil
}
