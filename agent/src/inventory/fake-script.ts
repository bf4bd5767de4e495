/**
 * The stand-in for nvidia-smi: bash, cat, grep and sleep, so that it runs in nearly any image. What it prints lies ready in files;
 * the program chooses the GPUs, and puts in the figures that change.
 *
 * Where `/dev/nvidiactl` exists it is in a container that got GPUs, and shows those whose device nodes are there, as the
 * real one does. On a node with declared GPUs there is no such device, and it shows them all.
 */
export function fakeScript(paths: { data: string; state: string; dev: string }): string {
  return `#!/bin/bash
# Written by Berth: stands in for nvidia-smi on a node with declared GPUs.
data='${paths.data}'
state='${paths.state}'
dev='${paths.dev}'

declare -A lost gone used busy action
fail=""
if [ -r "$state" ]; then
  while read -r word what value more; do
    case $word in
      hang | garbage) fail=$word ;;
      exit) fail=exit code=$what ;;
      lost) lost[$what]=1 ;;
      gone) gone[$what]=1 ;;
      use) used[$what]=$value busy[$what]=$more ;;
      recovery) action[$what]="$value\${more:+ $more}" ;;
    esac
  done <"$state"
fi
case $fail in
  hang)
    trap '' TERM INT
    sleep 86400 &
    wait
    ;;
  garbage)
    printf '<?xml version="1.0" ?>\\n<nvidia_smi_log>\\n\\t<driver_version>\\001\\377 \\n'
    exit 0
    ;;
  exit)
    echo 'Failed to initialize NVML: Unknown Error'
    exit "$code"
    ;;
esac

mode=table
query=""
select=""
mig=""
format=""
while [ $# -gt 0 ]; do
  case $1 in
    -q | --query) [ "$mode" = xml ] || mode=q ;;
    -x | --xml-format) mode=xml ;;
    -L | --list-gpus) mode=list ;;
    -i | --id) select=$2; shift ;;
    -i=* | --id=*) select=\${1#*=} ;;
    topo) mode=topo ;;
    -m) ;;
    mig) mode=mig ;;
    -lgi | --list-gpu-instances) mig=lgi ;;
    -lgip | --list-gpu-instance-profiles) mig=lgip ;;
    --query-gpu=*) mode=csv query=\${1#*=} ;;
    --query-compute-apps=*) mode=apps query=\${1#*=} ;;
    --format=*) format=\${1#*=} ;;
    --version) mode=version ;;
    *)
      echo "Invalid combination of input arguments. Please run 'nvidia-smi -h' for help."
      exit 2
      ;;
  esac
  shift
done

# index uuid minor pci memory
shown=() status=0 matched=0
while read -r index uuid minor pci memory; do
  [ -z "\${gone[$uuid]}" ] || continue
  if [ -e "$dev/nvidiactl" ] && [ ! -e "$dev/nvidia$minor" ]; then continue; fi
  case ,$select, in
    ,, | *,"$index",* | *,"$uuid",* | *,"$pci",*) ;;
    *) continue ;;
  esac
  matched=1
  if [ -n "\${lost[$uuid]}" ]; then
    echo "Unable to determine the device handle for GPU$index: \${pci#0000}: GPU is lost.  Reboot the system to recover this GPU"
    status=15
    continue
  fi
  shown+=("$index $uuid $memory")
done <"$data/gpus"
if [ $matched = 0 ] && [ $mode != mig ] && [ $mode != version ]; then
  echo 'No devices were found'
  exit 6
fi
# The real one gives up at the first GPU that it cannot open, unless asked for the list.
if [ $status != 0 ] && [ $mode != list ]; then exit $status; fi

# The instances of GPU $1 that are to be seen: their lines of "device uuid gi cap memory".
instances() {
  local device uuid gi cap memory
  while read -r device uuid gi cap memory; do
    if [ -e "$dev/nvidiactl" ] && [ ! -e "$dev/nvidia-caps/nvidia-cap$cap" ]; then continue; fi
    echo "$device $uuid $gi $memory"
  done <"$data/$1/instances"
}

# Puts the figures of unit $1 with $2 MiB into the text.
figures() {
  local use=\${used[$1]:-0}
  text=\${text//@USED:$1@/$use}
  text=\${text//@FREE:$1@/$(($2 - use))}
  text=\${text//@BUSY:$1@/\${busy[$1]:-0}}
  text=\${text//@ACTION:$1@/\${action[$1]:-None}}
  text=\${text//@COUNT@/\${#shown[@]}}
}

# Prints a file with the figures in it. bash cuts the last line end off, so it comes back.
put() {
  text=$(<"$1")
  figures "$2" "$3"
  printf '%s\\n' "$text"
}

case $mode in
  xml)
    text=$(<"$data/start.xml")
    text=\${text//@TIME@/$(printf '%(%a %b %e %H:%M:%S %Y)T' -1)}
    printf '%s\\n' "\${text//@COUNT@/\${#shown[@]}}"
    for row in "\${shown[@]}"; do
      read -r index uuid memory <<<"$row"
      put "$data/$index/head.xml" "$uuid" "$memory"
      any=
      while read -r device instance gi size; do
        put "$data/$index/mig-$device.xml" "$instance" "$size"
        any=1
      done < <(instances "$index")
      [ -n "$any" ] || printf '\\t\\t\\tNone\\n'
      put "$data/$index/tail.xml" "$uuid" "$memory"
    done
    printf '</nvidia_smi_log>\\n'
    ;;
  list)
    for row in "\${shown[@]}"; do
      read -r index uuid memory <<<"$row"
      cat "$data/$index/list"
      while read -r device instance gi size; do cat "$data/$index/mig-$device.list"; done < <(instances "$index")
    done
    ;;
  topo) cat "$data/topo" ;;
  mig)
    found=
    for row in "\${shown[@]}"; do
      read -r index uuid memory <<<"$row"
      file=$data/$index/$mig
      if [ "$mig" = lgip ] && [ -s "$file" ]; then
        [ -n "$found" ] || cat "$data/lgip-head"
        cat "$file" "$data/lgip-rule"
        found=1
      elif [ "$mig" = lgi ]; then
        while read -r device instance gi size; do
          [ -n "$found" ] || cat "$data/lgi-head"
          cat "$data/$index/mig-$device.lgi" "$data/lgi-rule"
          found=1
        done < <(instances "$index")
      fi
    done
    if [ -z "$found" ]; then
      if [ "$mig" = lgi ]; then echo 'No MIG-enabled devices found.'; else echo 'No MIG-supported devices found.'; fi
    fi
    ;;
  csv)
    IFS=, read -r -a names <<<"\${query// /}"
    header=
    for name in "\${names[@]}"; do
      if ! line=$(grep -m1 "^$name|" "$data/\${shown[0]%% *}/fields"); then
        echo "Field \\"$name\\" is not a valid field to query."
        exit 2
      fi
      line=\${line#*|}
      header+="\${header:+, }\${line%%|*}"
    done
    case $format in *noheader*) ;; *) echo "$header" ;; esac
    for row in "\${shown[@]}"; do
      read -r index uuid memory <<<"$row"
      out=
      for name in "\${names[@]}"; do
        text=$(grep -m1 "^$name|" "$data/$index/fields")
        text=\${text##*|}
        figures "$uuid" "$memory"
        case $format in *nounits*) text=\${text% MiB} text=\${text% W} text=\${text% %} ;; esac
        out+="\${out:+, }$text"
      done
      echo "$out"
    done
    ;;
  apps)
    # As on a real node: processes of containers are in another PID namespace, and not in the list.
    case $format in *noheader*) ;; *) echo "\${query//,/, }" ;; esac
    ;;
  version) echo "NVIDIA-SMI version  : $(<"$data/driver")" ;;
  *)
    echo "NVIDIA-SMI $(<"$data/driver")   (declared GPUs)"
    for row in "\${shown[@]}"; do
      read -r index uuid memory <<<"$row"
      cat "$data/$index/list"
    done
    ;;
esac
exit $status
`;
}
