// Package build makes images of Dockerfiles, as `build:` of a service and
// `devstack build` ask for.
//
//	Builder.Build(Request)
//	    source      context and Dockerfile opened
//	    dockerfile  stages, steps, configuration
//	    solve       steps over snapshots, cached by what they depend on
//	      step        RUN in a container, mounts
//	      copy        COPY, ADD
//	    commit      image of the layers, named by its tags
//
// The same Request on the same content gives the same image digest, on every
// machine and day: see package solve for what times are made of. Contexts lose
// what differs between two clones: owners, times, and modes but for the
// owner's right to execute (Request.KeepModes keeps modes).
package build
