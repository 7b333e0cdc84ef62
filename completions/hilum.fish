# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_hilum_global_optspecs
    string join \n root= pods= log= log-format= debug systemd-cgroup rootless= v/version h/help
end

function __fish_hilum_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_hilum_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_hilum_using_subcommand
    set -l cmd (__fish_hilum_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c hilum -n "__fish_hilum_needs_command" -l root -d 'where the state of containers is kept [default: /run/hilum]' -r
complete -c hilum -n "__fish_hilum_needs_command" -l pods -d 'where pods are kept [default: /run/hilum/pods]' -r
complete -c hilum -n "__fish_hilum_needs_command" -l log -d 'append the log to this file, or with journald:ID to the journal [default: stderr]' -r
complete -c hilum -n "__fish_hilum_needs_command" -l log-format -d 'text or json [default: text]' -r -f -a "text\t''
json\t''"
complete -c hilum -n "__fish_hilum_needs_command" -l rootless -d 'ignore cgroup permission errors: true, false or auto [default: auto]' -r -f -a "true\t''
false\t''
auto\t''"
complete -c hilum -n "__fish_hilum_needs_command" -l debug -d 'log more'
complete -c hilum -n "__fish_hilum_needs_command" -l systemd-cgroup -d 'let systemd make the container\'s cgroup (cgroup v2 alone)'
complete -c hilum -n "__fish_hilum_needs_command" -s v -l version -d 'print the version'
complete -c hilum -n "__fish_hilum_needs_command" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "create" -d 'Create a container; `start` executes its process'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "run" -d 'Create a container and execute its process'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "start" -d 'Execute the process of a created container'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "exec" -d 'Execute another process in a container that runs'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "ps" -d 'List the processes of a container'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "pause" -d 'Freeze all processes of a container'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "resume" -d 'Let the processes of a paused container go on'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "update" -d 'Change the resource limits of a container'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "pod" -d 'Make pods: namespaces, a cgroup and a /dev/shm for several containers to share'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "events" -d 'Print statistics of a container at intervals, and when it runs out of memory'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "checkpoint" -d 'Save the processes of a container to files, and end them'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "restore" -d 'Make a container from a checkpoint, and let its processes go on'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "state" -d 'Print the state of a container as JSON'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "kill" -d 'Send a signal to a container\'s process'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "delete" -d 'Delete a container that has stopped'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "list" -d 'List the containers of this state directory'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "gc" -d 'Remove what commands that were killed have left of containers and pods'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "ns" -d 'Show which namespaces containers share'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "plan" -d 'Show what create would do, and all that would keep it from that'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "spec" -d 'Write an example config.json'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "features" -d 'Print what this runtime and host support, as JSON'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "setup" -d 'Make hilum known to a client'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "check" -d 'Look at what this host has of what hilum needs'
complete -c hilum -n "__fish_hilum_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hilum -n "__fish_hilum_using_subcommand create" -s b -l bundle -d 'the bundle: the directory with config.json [default: the current one]' -r
complete -c hilum -n "__fish_hilum_using_subcommand create" -l pod -d 'take part in this pod' -r
complete -c hilum -n "__fish_hilum_using_subcommand create" -l join -d 'take part in namespaces of this container [default: net,ipc,uts]' -r
complete -c hilum -n "__fish_hilum_using_subcommand create" -l console-socket -d 'send the master of the process\'s terminal to this unix socket' -r
complete -c hilum -n "__fish_hilum_using_subcommand create" -l pidfd-socket -d 'send a pidfd of the process to this unix socket' -r
complete -c hilum -n "__fish_hilum_using_subcommand create" -l pid-file -d 'write the pid of the process to this file' -r
complete -c hilum -n "__fish_hilum_using_subcommand create" -l preserve-fds -d 'pass N file descriptors behind the standard ones to the process [default: 0]' -r
complete -c hilum -n "__fish_hilum_using_subcommand create" -l no-pivot -d 'do not use pivot_root (for a host that runs from an initramfs)'
complete -c hilum -n "__fish_hilum_using_subcommand create" -l no-new-keyring -d 'keep the caller\'s session keyring'
complete -c hilum -n "__fish_hilum_using_subcommand create" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand run" -s b -l bundle -d 'the bundle: the directory with config.json [default: the current one]' -r
complete -c hilum -n "__fish_hilum_using_subcommand run" -l pod -d 'take part in this pod' -r
complete -c hilum -n "__fish_hilum_using_subcommand run" -l join -d 'take part in namespaces of this container [default: net,ipc,uts]' -r
complete -c hilum -n "__fish_hilum_using_subcommand run" -l console-socket -d 'send the master of the process\'s terminal to this unix socket' -r
complete -c hilum -n "__fish_hilum_using_subcommand run" -l pidfd-socket -d 'send a pidfd of the process to this unix socket' -r
complete -c hilum -n "__fish_hilum_using_subcommand run" -l pid-file -d 'write the pid of the process to this file' -r
complete -c hilum -n "__fish_hilum_using_subcommand run" -l preserve-fds -d 'pass N file descriptors behind the standard ones to the process [default: 0]' -r
complete -c hilum -n "__fish_hilum_using_subcommand run" -l no-pivot -d 'do not use pivot_root (for a host that runs from an initramfs)'
complete -c hilum -n "__fish_hilum_using_subcommand run" -l no-new-keyring -d 'keep the caller\'s session keyring'
complete -c hilum -n "__fish_hilum_using_subcommand run" -s d -l detach -d 'do not wait for the container\'s end'
complete -c hilum -n "__fish_hilum_using_subcommand run" -l keep -d 'keep the container\'s state after its end'
complete -c hilum -n "__fish_hilum_using_subcommand run" -l no-subreaper -d 'do not adopt the container\'s orphaned processes'
complete -c hilum -n "__fish_hilum_using_subcommand run" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand start" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand exec" -l console-socket -d 'send the master of the process\'s terminal to this unix socket' -r
complete -c hilum -n "__fish_hilum_using_subcommand exec" -l pidfd-socket -d 'send a pidfd of the process to this unix socket' -r
complete -c hilum -n "__fish_hilum_using_subcommand exec" -l cwd -d 'the working directory [default: the container\'s]' -r
complete -c hilum -n "__fish_hilum_using_subcommand exec" -s e -l env -d 'add to the environment' -r
complete -c hilum -n "__fish_hilum_using_subcommand exec" -s u -l user -d 'the ids of the process [default: the container\'s]' -r
complete -c hilum -n "__fish_hilum_using_subcommand exec" -s g -l additional-gids -d 'add to the supplementary groups' -r
complete -c hilum -n "__fish_hilum_using_subcommand exec" -s p -l process -d 'a JSON document of the process, in place of the other options' -r
complete -c hilum -n "__fish_hilum_using_subcommand exec" -l pid-file -d 'write the pid of the process to this file' -r
complete -c hilum -n "__fish_hilum_using_subcommand exec" -l process-label -d 'the SELinux label of the process' -r
complete -c hilum -n "__fish_hilum_using_subcommand exec" -l apparmor -d 'the AppArmor profile of the process' -r
complete -c hilum -n "__fish_hilum_using_subcommand exec" -s c -l cap -d 'add a capability' -r
complete -c hilum -n "__fish_hilum_using_subcommand exec" -l preserve-fds -d 'pass N file descriptors behind the standard ones to the process [default: 0]' -r
complete -c hilum -n "__fish_hilum_using_subcommand exec" -l cgroup -d 'the cgroup of the process, below the container\'s' -r
complete -c hilum -n "__fish_hilum_using_subcommand exec" -s t -l tty -d 'give the process a terminal'
complete -c hilum -n "__fish_hilum_using_subcommand exec" -s d -l detach -d 'do not wait for the end of the process'
complete -c hilum -n "__fish_hilum_using_subcommand exec" -l no-new-privs -d 'set no_new_privs [default: the container\'s]'
complete -c hilum -n "__fish_hilum_using_subcommand exec" -l ignore-paused -d 'execute in a paused container, too'
complete -c hilum -n "__fish_hilum_using_subcommand exec" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand ps" -s f -l format -d 'table or json [default: table]' -r -f -a "table\t''
json\t''"
complete -c hilum -n "__fish_hilum_using_subcommand ps" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand pause" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand resume" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand update" -s r -l resources -d 'a JSON document in the shape of linux.resources; - is stdin' -r
complete -c hilum -n "__fish_hilum_using_subcommand update" -l blkio-weight -d 'relative weight of block I/O, 10 to 1000' -r
complete -c hilum -n "__fish_hilum_using_subcommand update" -l cpu-period -d 'the CPU period, in microseconds' -r
complete -c hilum -n "__fish_hilum_using_subcommand update" -l cpu-quota -d 'CPU time in each period, in microseconds; -1 is no limit' -r
complete -c hilum -n "__fish_hilum_using_subcommand update" -l cpu-burst -d 'CPU time that may be saved up for a burst, in microseconds' -r
complete -c hilum -n "__fish_hilum_using_subcommand update" -l cpu-share -d 'relative weight of CPU time, 2 to 262144' -r
complete -c hilum -n "__fish_hilum_using_subcommand update" -l cpu-rt-period -d 'the period of real-time scheduling, in microseconds (cgroup v1)' -r
complete -c hilum -n "__fish_hilum_using_subcommand update" -l cpu-rt-runtime -d 'real-time CPU time in each period, in microseconds (cgroup v1)' -r
complete -c hilum -n "__fish_hilum_using_subcommand update" -l cpu-idle -d '1 for SCHED_IDLE, 0 for the usual' -r
complete -c hilum -n "__fish_hilum_using_subcommand update" -l cpuset-cpus -d 'the CPUs to run on, such as 0-2,7' -r
complete -c hilum -n "__fish_hilum_using_subcommand update" -l cpuset-mems -d 'the memory nodes to use' -r
complete -c hilum -n "__fish_hilum_using_subcommand update" -l memory -d 'memory limit, such as 512m; -1 is no limit' -r
complete -c hilum -n "__fish_hilum_using_subcommand update" -l memory-reservation -d 'soft memory limit, such as 256m' -r
complete -c hilum -n "__fish_hilum_using_subcommand update" -l memory-swap -d 'limit of memory and swap together; -1 is no limit of swap' -r
complete -c hilum -n "__fish_hilum_using_subcommand update" -l pids-limit -d 'how many processes there may be; -1 is no limit' -r
complete -c hilum -n "__fish_hilum_using_subcommand update" -l l3-cache-schema -d 'Intel RDT\'s L3 cache schema (refused: not supported)' -r
complete -c hilum -n "__fish_hilum_using_subcommand update" -l mem-bw-schema -d 'Intel RDT\'s memory bandwidth schema (refused: not supported)' -r
complete -c hilum -n "__fish_hilum_using_subcommand update" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and not __fish_seen_subcommand_from create run ls list inspect ps stats update pause resume kill wait rm help" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and not __fish_seen_subcommand_from create run ls list inspect ps stats update pause resume kill wait rm help" -f -a "create" -d 'Make a pod without containers'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and not __fish_seen_subcommand_from create run ls list inspect ps stats update pause resume kill wait rm help" -f -a "run" -d 'Make a pod and start its containers, or leave nothing'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and not __fish_seen_subcommand_from create run ls list inspect ps stats update pause resume kill wait rm help" -f -a "ls" -d 'List the pods'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and not __fish_seen_subcommand_from create run ls list inspect ps stats update pause resume kill wait rm help" -f -a "list" -d 'List the pods'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and not __fish_seen_subcommand_from create run ls list inspect ps stats update pause resume kill wait rm help" -f -a "inspect" -d 'Show a pod: its limits, cgroups and processes, and who shares which namespaces'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and not __fish_seen_subcommand_from create run ls list inspect ps stats update pause resume kill wait rm help" -f -a "ps" -d 'List the processes of a pod'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and not __fish_seen_subcommand_from create run ls list inspect ps stats update pause resume kill wait rm help" -f -a "stats" -d 'Show what a pod uses, and each of its containers'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and not __fish_seen_subcommand_from create run ls list inspect ps stats update pause resume kill wait rm help" -f -a "update" -d 'Change the limits of a pod and its containers, all of them or none'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and not __fish_seen_subcommand_from create run ls list inspect ps stats update pause resume kill wait rm help" -f -a "pause" -d 'Freeze all processes of a pod, or none'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and not __fish_seen_subcommand_from create run ls list inspect ps stats update pause resume kill wait rm help" -f -a "resume" -d 'Let the processes of a paused pod go on'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and not __fish_seen_subcommand_from create run ls list inspect ps stats update pause resume kill wait rm help" -f -a "kill" -d 'Send a signal to all processes of a pod\'s containers; with KILL, wait for their end'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and not __fish_seen_subcommand_from create run ls list inspect ps stats update pause resume kill wait rm help" -f -a "wait" -d 'Wait until no container of a pod runs'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and not __fish_seen_subcommand_from create run ls list inspect ps stats update pause resume kill wait rm help" -f -a "rm" -d 'Remove pods and their containers'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and not __fish_seen_subcommand_from create run ls list inspect ps stats update pause resume kill wait rm help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -s r -l resources -d 'a JSON document in the shape of linux.resources; - is stdin' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l blkio-weight -d 'relative weight of block I/O, 10 to 1000' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l cpu-period -d 'the CPU period, in microseconds' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l cpu-quota -d 'CPU time in each period, in microseconds; -1 is no limit' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l cpu-burst -d 'CPU time that may be saved up for a burst, in microseconds' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l cpu-share -d 'relative weight of CPU time, 2 to 262144' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l cpu-rt-period -d 'the period of real-time scheduling, in microseconds (cgroup v1)' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l cpu-rt-runtime -d 'real-time CPU time in each period, in microseconds (cgroup v1)' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l cpu-idle -d '1 for SCHED_IDLE, 0 for the usual' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l cpuset-cpus -d 'the CPUs to run on, such as 0-2,7' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l cpuset-mems -d 'the memory nodes to use' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l memory -d 'memory limit, such as 512m; -1 is no limit' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l memory-reservation -d 'soft memory limit, such as 256m' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l memory-swap -d 'limit of memory and swap together; -1 is no limit of swap' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l pids-limit -d 'how many processes there may be; -1 is no limit' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l cpus -d 'as much CPU time as N processors have, such as 0.5' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l share -d 'what its containers share: net, ipc, uts, pid, user, time, cgroup' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l hostname -d 'the hostname of all its containers [default: the pod\'s name]' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l domainname -d 'their NIS domain name' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l sysctl -d 'set a sysctl of the shared namespaces' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l shm-size -d 'the size of their /dev/shm [default: 64m]' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l uidmap -d 'user ids of a shared user namespace' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l gidmap -d 'group ids of it [default: as --uidmap]' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l time-offset -d 'monotonic or boottime, in a shared time namespace' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l net-path -d 'the network namespace to share, instead of a new one' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l cni -d 'attach it to this network of /etc/cni/net.d' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -l cgroup -d 'the pod\'s cgroup, as linux.cgroupsPath [default: /hilum-pods/POD]' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from run" -l name -d 'the pod\'s name [default: the manifest\'s]' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from run" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from ls" -s f -l format -d 'table or json [default: table]' -r -f -a "table\t''
json\t''"
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'print names only'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from list" -s f -l format -d 'table or json [default: table]' -r -f -a "table\t''
json\t''"
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from list" -s q -l quiet -d 'print names only'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from inspect" -s f -l format -d 'table or json [default: table]' -r -f -a "table\t''
json\t''"
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from ps" -s f -l format -d 'table or json [default: table]' -r -f -a "table\t''
json\t''"
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from ps" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from stats" -s f -l format -d 'table or json [default: table]' -r -f -a "table\t''
json\t''"
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from stats" -l interval -d 'show it again and again, such as 5s [default: once]' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from stats" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from update" -s r -l resources -d 'a JSON document in the shape of linux.resources; - is stdin' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from update" -l blkio-weight -d 'relative weight of block I/O, 10 to 1000' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from update" -l cpu-period -d 'the CPU period, in microseconds' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from update" -l cpu-quota -d 'CPU time in each period, in microseconds; -1 is no limit' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from update" -l cpu-burst -d 'CPU time that may be saved up for a burst, in microseconds' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from update" -l cpu-share -d 'relative weight of CPU time, 2 to 262144' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from update" -l cpu-rt-period -d 'the period of real-time scheduling, in microseconds (cgroup v1)' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from update" -l cpu-rt-runtime -d 'real-time CPU time in each period, in microseconds (cgroup v1)' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from update" -l cpu-idle -d '1 for SCHED_IDLE, 0 for the usual' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from update" -l cpuset-cpus -d 'the CPUs to run on, such as 0-2,7' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from update" -l cpuset-mems -d 'the memory nodes to use' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from update" -l memory -d 'memory limit, such as 512m; -1 is no limit' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from update" -l memory-reservation -d 'soft memory limit, such as 256m' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from update" -l memory-swap -d 'limit of memory and swap together; -1 is no limit of swap' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from update" -l pids-limit -d 'how many processes there may be; -1 is no limit' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from update" -l cpus -d 'as much CPU time as N processors have, such as 0.5' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from update" -l container -d 'limits of a container in it, such as app:memory=64m,cpus=0.5' -r
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from update" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from pause" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from resume" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from kill" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from wait" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from rm" -s f -l force -d 'kill what runs, and be content if there is no such pod'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from help" -f -a "create" -d 'Make a pod without containers'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from help" -f -a "run" -d 'Make a pod and start its containers, or leave nothing'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from help" -f -a "ls" -d 'List the pods'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from help" -f -a "inspect" -d 'Show a pod: its limits, cgroups and processes, and who shares which namespaces'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from help" -f -a "ps" -d 'List the processes of a pod'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from help" -f -a "stats" -d 'Show what a pod uses, and each of its containers'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from help" -f -a "update" -d 'Change the limits of a pod and its containers, all of them or none'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from help" -f -a "pause" -d 'Freeze all processes of a pod, or none'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from help" -f -a "resume" -d 'Let the processes of a paused pod go on'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from help" -f -a "kill" -d 'Send a signal to all processes of a pod\'s containers; with KILL, wait for their end'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from help" -f -a "wait" -d 'Wait until no container of a pod runs'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from help" -f -a "rm" -d 'Remove pods and their containers'
complete -c hilum -n "__fish_hilum_using_subcommand pod; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hilum -n "__fish_hilum_using_subcommand events" -l interval -d 'time between two statistics [default: 5s]' -r
complete -c hilum -n "__fish_hilum_using_subcommand events" -l stats -d 'print the statistics once'
complete -c hilum -n "__fish_hilum_using_subcommand events" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand checkpoint" -l image-path -d 'the checkpoint\'s directory [default: ./checkpoint]' -r
complete -c hilum -n "__fish_hilum_using_subcommand checkpoint" -l work-path -d 'where CRIU\'s log and work files go [default: the checkpoint\'s directory]' -r
complete -c hilum -n "__fish_hilum_using_subcommand checkpoint" -l manage-cgroups-mode -d 'soft, full, strict or ignore [default: soft]' -r -f -a "soft\t''
full\t''
strict\t''
ignore\t''"
complete -c hilum -n "__fish_hilum_using_subcommand checkpoint" -l empty-ns -d 'a namespace whose content is not dumped or restored: network, which always is so' -r
complete -c hilum -n "__fish_hilum_using_subcommand checkpoint" -l parent-path -d 'an earlier --pre-dump, relative to --image-path' -r
complete -c hilum -n "__fish_hilum_using_subcommand checkpoint" -l page-server -d 'send the memory to this page server (criu page-server)' -r
complete -c hilum -n "__fish_hilum_using_subcommand checkpoint" -l status-fd -d 'for --lazy-pages (refused: not supported)' -r
complete -c hilum -n "__fish_hilum_using_subcommand checkpoint" -l tcp-established -d 'allow open TCP connections'
complete -c hilum -n "__fish_hilum_using_subcommand checkpoint" -l ext-unix-sk -d 'allow unix sockets whose other end is outside'
complete -c hilum -n "__fish_hilum_using_subcommand checkpoint" -l shell-job -d 'allow a session and a terminal that are the caller\'s'
complete -c hilum -n "__fish_hilum_using_subcommand checkpoint" -l file-locks -d 'dump and restore file locks'
complete -c hilum -n "__fish_hilum_using_subcommand checkpoint" -l auto-dedup -d 'free the pages that an earlier image has and this one replaces'
complete -c hilum -n "__fish_hilum_using_subcommand checkpoint" -l lazy-pages -d 'bring the memory after the restore (refused: not supported)'
complete -c hilum -n "__fish_hilum_using_subcommand checkpoint" -l pre-dump -d 'save memory only, and let the container go on'
complete -c hilum -n "__fish_hilum_using_subcommand checkpoint" -l leave-running -d 'let the container go on'
complete -c hilum -n "__fish_hilum_using_subcommand checkpoint" -l tcp-skip-in-flight -d 'leave out TCP connections that are not established yet'
complete -c hilum -n "__fish_hilum_using_subcommand checkpoint" -l link-remap -d 'allow open files that have been unlinked, by linking them anew'
complete -c hilum -n "__fish_hilum_using_subcommand checkpoint" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand restore" -l image-path -d 'the checkpoint\'s directory [default: ./checkpoint]' -r
complete -c hilum -n "__fish_hilum_using_subcommand restore" -l work-path -d 'where CRIU\'s log and work files go [default: the checkpoint\'s directory]' -r
complete -c hilum -n "__fish_hilum_using_subcommand restore" -l manage-cgroups-mode -d 'soft, full, strict or ignore [default: soft]' -r -f -a "soft\t''
full\t''
strict\t''
ignore\t''"
complete -c hilum -n "__fish_hilum_using_subcommand restore" -l empty-ns -d 'a namespace whose content is not dumped or restored: network, which always is so' -r
complete -c hilum -n "__fish_hilum_using_subcommand restore" -s b -l bundle -d 'the bundle: the directory with config.json [default: the current one]' -r
complete -c hilum -n "__fish_hilum_using_subcommand restore" -l console-socket -d 'send the master of the process\'s terminal to this unix socket' -r
complete -c hilum -n "__fish_hilum_using_subcommand restore" -l pid-file -d 'write the pid of the process to this file' -r
complete -c hilum -n "__fish_hilum_using_subcommand restore" -l lsm-profile -d 'the AppArmor profile or SELinux label, in place of that of the checkpoint' -r
complete -c hilum -n "__fish_hilum_using_subcommand restore" -l lsm-mount-context -d 'the SELinux context of mounts, in place of that of the checkpoint' -r
complete -c hilum -n "__fish_hilum_using_subcommand restore" -l tcp-established -d 'allow open TCP connections'
complete -c hilum -n "__fish_hilum_using_subcommand restore" -l ext-unix-sk -d 'allow unix sockets whose other end is outside'
complete -c hilum -n "__fish_hilum_using_subcommand restore" -l shell-job -d 'allow a session and a terminal that are the caller\'s'
complete -c hilum -n "__fish_hilum_using_subcommand restore" -l file-locks -d 'dump and restore file locks'
complete -c hilum -n "__fish_hilum_using_subcommand restore" -l auto-dedup -d 'free the pages that an earlier image has and this one replaces'
complete -c hilum -n "__fish_hilum_using_subcommand restore" -l lazy-pages -d 'bring the memory after the restore (refused: not supported)'
complete -c hilum -n "__fish_hilum_using_subcommand restore" -s d -l detach -d 'do not wait for the container\'s end'
complete -c hilum -n "__fish_hilum_using_subcommand restore" -l no-subreaper -d 'do not adopt the container\'s orphaned processes'
complete -c hilum -n "__fish_hilum_using_subcommand restore" -l no-pivot -d 'do not use pivot_root (refused: CRIU always uses it)'
complete -c hilum -n "__fish_hilum_using_subcommand restore" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand state" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand kill" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand delete" -s f -l force -d 'kill it first, and be content if there is none'
complete -c hilum -n "__fish_hilum_using_subcommand delete" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand list" -s f -l format -d 'table or json [default: table]' -r -f -a "table\t''
json\t''"
complete -c hilum -n "__fish_hilum_using_subcommand list" -s q -l quiet -d 'print ids only'
complete -c hilum -n "__fish_hilum_using_subcommand list" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand gc" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand ns" -s f -l format -d 'table or json [default: table]' -r -f -a "table\t''
json\t''"
complete -c hilum -n "__fish_hilum_using_subcommand ns" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand plan" -s b -l bundle -d 'the bundle: the directory with config.json [default: the current one]' -r
complete -c hilum -n "__fish_hilum_using_subcommand plan" -l pod -d 'take part in this pod' -r
complete -c hilum -n "__fish_hilum_using_subcommand plan" -l join -d 'take part in namespaces of this container [default: net,ipc,uts]' -r
complete -c hilum -n "__fish_hilum_using_subcommand plan" -s f -l format -d 'text or json [default: text]' -r -f -a "text\t''
json\t''"
complete -c hilum -n "__fish_hilum_using_subcommand plan" -l no-pivot -d 'do not use pivot_root (for a host that runs from an initramfs)'
complete -c hilum -n "__fish_hilum_using_subcommand plan" -l no-new-keyring -d 'keep the caller\'s session keyring'
complete -c hilum -n "__fish_hilum_using_subcommand plan" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand spec" -s b -l bundle -d 'the bundle: the directory with config.json [default: the current one]' -r
complete -c hilum -n "__fish_hilum_using_subcommand spec" -l rootless -d 'for a runtime that is not run by root'
complete -c hilum -n "__fish_hilum_using_subcommand spec" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand features" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand setup; and not __fish_seen_subcommand_from docker help" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand setup; and not __fish_seen_subcommand_from docker help" -f -a "docker" -d 'Make hilum known to Docker, in daemon.json, where everything else stays as it is'
complete -c hilum -n "__fish_hilum_using_subcommand setup; and not __fish_seen_subcommand_from docker help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hilum -n "__fish_hilum_using_subcommand setup; and __fish_seen_subcommand_from docker" -l file -d 'the file [default: /etc/docker/daemon.json]' -r
complete -c hilum -n "__fish_hilum_using_subcommand setup; and __fish_seen_subcommand_from docker" -l print -d 'print what the file would be, and change nothing'
complete -c hilum -n "__fish_hilum_using_subcommand setup; and __fish_seen_subcommand_from docker" -l default -d 'for containers that name no runtime, too'
complete -c hilum -n "__fish_hilum_using_subcommand setup; and __fish_seen_subcommand_from docker" -l remove -d 'take it out again'
complete -c hilum -n "__fish_hilum_using_subcommand setup; and __fish_seen_subcommand_from docker" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand setup; and __fish_seen_subcommand_from help" -f -a "docker" -d 'Make hilum known to Docker, in daemon.json, where everything else stays as it is'
complete -c hilum -n "__fish_hilum_using_subcommand setup; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hilum -n "__fish_hilum_using_subcommand check" -s f -l format -d 'table or json [default: table]' -r -f -a "table\t''
json\t''"
complete -c hilum -n "__fish_hilum_using_subcommand check" -s h -l help -d 'Print help'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "create" -d 'Create a container; `start` executes its process'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "run" -d 'Create a container and execute its process'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "start" -d 'Execute the process of a created container'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "exec" -d 'Execute another process in a container that runs'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "ps" -d 'List the processes of a container'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "pause" -d 'Freeze all processes of a container'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "resume" -d 'Let the processes of a paused container go on'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "update" -d 'Change the resource limits of a container'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "pod" -d 'Make pods: namespaces, a cgroup and a /dev/shm for several containers to share'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "events" -d 'Print statistics of a container at intervals, and when it runs out of memory'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "checkpoint" -d 'Save the processes of a container to files, and end them'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "restore" -d 'Make a container from a checkpoint, and let its processes go on'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "state" -d 'Print the state of a container as JSON'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "kill" -d 'Send a signal to a container\'s process'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "delete" -d 'Delete a container that has stopped'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "list" -d 'List the containers of this state directory'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "gc" -d 'Remove what commands that were killed have left of containers and pods'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "ns" -d 'Show which namespaces containers share'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "plan" -d 'Show what create would do, and all that would keep it from that'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "spec" -d 'Write an example config.json'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "features" -d 'Print what this runtime and host support, as JSON'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "setup" -d 'Make hilum known to a client'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "check" -d 'Look at what this host has of what hilum needs'
complete -c hilum -n "__fish_hilum_using_subcommand help; and not __fish_seen_subcommand_from create run start exec ps pause resume update pod events checkpoint restore state kill delete list gc ns plan spec features setup check help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hilum -n "__fish_hilum_using_subcommand help; and __fish_seen_subcommand_from pod" -f -a "create" -d 'Make a pod without containers'
complete -c hilum -n "__fish_hilum_using_subcommand help; and __fish_seen_subcommand_from pod" -f -a "run" -d 'Make a pod and start its containers, or leave nothing'
complete -c hilum -n "__fish_hilum_using_subcommand help; and __fish_seen_subcommand_from pod" -f -a "ls" -d 'List the pods'
complete -c hilum -n "__fish_hilum_using_subcommand help; and __fish_seen_subcommand_from pod" -f -a "inspect" -d 'Show a pod: its limits, cgroups and processes, and who shares which namespaces'
complete -c hilum -n "__fish_hilum_using_subcommand help; and __fish_seen_subcommand_from pod" -f -a "ps" -d 'List the processes of a pod'
complete -c hilum -n "__fish_hilum_using_subcommand help; and __fish_seen_subcommand_from pod" -f -a "stats" -d 'Show what a pod uses, and each of its containers'
complete -c hilum -n "__fish_hilum_using_subcommand help; and __fish_seen_subcommand_from pod" -f -a "update" -d 'Change the limits of a pod and its containers, all of them or none'
complete -c hilum -n "__fish_hilum_using_subcommand help; and __fish_seen_subcommand_from pod" -f -a "pause" -d 'Freeze all processes of a pod, or none'
complete -c hilum -n "__fish_hilum_using_subcommand help; and __fish_seen_subcommand_from pod" -f -a "resume" -d 'Let the processes of a paused pod go on'
complete -c hilum -n "__fish_hilum_using_subcommand help; and __fish_seen_subcommand_from pod" -f -a "kill" -d 'Send a signal to all processes of a pod\'s containers; with KILL, wait for their end'
complete -c hilum -n "__fish_hilum_using_subcommand help; and __fish_seen_subcommand_from pod" -f -a "wait" -d 'Wait until no container of a pod runs'
complete -c hilum -n "__fish_hilum_using_subcommand help; and __fish_seen_subcommand_from pod" -f -a "rm" -d 'Remove pods and their containers'
complete -c hilum -n "__fish_hilum_using_subcommand help; and __fish_seen_subcommand_from setup" -f -a "docker" -d 'Make hilum known to Docker, in daemon.json, where everything else stays as it is'
