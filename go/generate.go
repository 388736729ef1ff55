package portlease

//go:generate sh -c "go run ./internal/gen < ../include/portlease.h > enums.new && mv enums.new enums.go"
