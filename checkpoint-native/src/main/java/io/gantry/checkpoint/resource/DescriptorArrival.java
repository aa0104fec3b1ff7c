package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.Footprint;
import io.gantry.checkpoint.image.descriptors_entry;
import io.gantry.checkpoint.image.fdinfo_entry;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.fown_entry;
import io.gantry.checkpoint.image.process_descriptors_entry;
import io.gantry.checkpoint.image.timerfd_entry;
import io.gantry.checkpoint.linux.DescriptorTable;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.Pidfd;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.TerminalCalls;
import io.gantry.checkpoint.procfs.ResourceLimits;
import io.gantry.checkpoint.tracee.RemoteTask;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.stream.Collectors;

/**
 * Gives stubs the descriptors that the captured processes had. Every file is made once, in the stub of the first process
 * that has it,
 * by a few batches of system calls; other stubs fetch it from there with {@code pidfd_getfd}.
 *
 * <p>The stubs are root, in the container's namespaces, with {@code /proc} mounted, not chrooted, and share one pid namespace in
 * which they have the numbers the image names. Resource limits are set afterwards: this raises {@code RLIMIT_NOFILE} as needed.
 *
 * <p>Only the stubs' tracer thread may use it.
 */
public final class DescriptorArrival {
  private static final int RLIMIT_NOFILE = 7;
  /** What a new process usually may have; below that the limit is left alone. */
  private static final int LIMIT_USUAL = 1024;

  private final descriptors_entry image;
  private OptionalLong hardLimit = OptionalLong.empty();
  private final Map<Integer, StubDescriptors> stubs;
  private List<SocketFiles.Waiting> socketFiles = List.of();

  private DescriptorArrival(descriptors_entry image, Map<Integer, StubDescriptors> stubs) {
    this.image = image;
    this.stubs = stubs;
  }

  /** As {@link Preflight#check}. @param coming directories whose files will be there when they are needed */
  public static List<Finding> checkPreflight(Footprint facts, List<Path> coming) {
    return Preflight.check(facts, coming);
  }

  /**
   * Recreates all descriptors; afterwards each stub has exactly those that its process had. Timers are not running yet.
   *
   * @param image what {@link DescriptorCapture} found
   * @param tasks a stopped stub for each process, or thread with a table of its own, of the image that has descriptors, by its number
   *     inside the container
   * @param received content of deleted files
   * @param sharedObjects our descriptors of memory files that exist already, because their pages came first; they stay ours
   * @throws CheckpointException when a file is missing here or differs, a port is taken, or the kernel refuses; the stubs
   * are then useless
   */
  public static DescriptorArrival recreate(
      descriptors_entry image,
      Map<Integer, RemoteTask> tasks,
      FileContentReceiver received,
      Map<FileIdentity, Integer> sharedObjects) {
    try (var terminals = new Terminals(() -> tasks.values().iterator().next().pid())) {
      return recreate(image, tasks, received, sharedObjects, terminals);
    }
  }

  /**
   * As above.
   *
   * @param terminals those that are some session's controlling terminal already; they stay the caller's, who closes them afterwards
   */
  public static DescriptorArrival recreate(
      descriptors_entry image,
      Map<Integer, RemoteTask> tasks,
      FileContentReceiver received,
      Map<FileIdentity, Integer> sharedObjects,
      Terminals terminals) {
    var stubs = new LinkedHashMap<Integer, StubDescriptors>();
    for (var process : image.getProcessList()) {
      var task = tasks.get(process.getPid());
      if (task == null && process.getFdCount() > 0) {
        throw new CheckpointException("process " + process.getPid()
            + " of the container has descriptors, but there is no stub for it");
      }
      if (task != null) {
        stubs.put(process.getPid(), new StubDescriptors(process.getPid(), task));
      }
    }
    try (var recreation = new Recreation(image, received, sharedObjects, stubs.values(), terminals)) {
      var arrival = new DescriptorArrival(image, stubs);
      arrival.make(recreation);
      LockArrival.takeLeases(image, stubs);
      arrival.verify();
      return arrival;
    } finally {
      stubs.values().forEach(StubDescriptors::close);
    }
  }

  private void make(Recreation recreation) {
    var homes = homes(recreation);
    recreation.terminals().make(image);
    stubs.values().forEach(stub -> clear(stub, recreation));
    send(recreation, homes);
    for (var group : recreation.groups()) {
      var home = homes.get(group.getFirst().getId());
      group.forEach(file -> recreation.kind(file).recreate(file, home, recreation));
    }
    StubDescriptors.flushAll(stubs.values());
    recreation.fillPipes();
    recreation.connect();
    recreation.sealMemoryFiles();
    if (image.getFileList().stream().anyMatch(file -> file.hasUsk())) {
      meet(recreation, homes);
    }
    var watched = watched(recreation, homes);
    for (var process : image.getProcessList()) {
      fetch(process, watched.getOrDefault(process.getPid(), List.of()), recreation, homes);
    }
    // Nobody clears its slots before everybody has fetched from them.
    StubDescriptors.flushAll(stubs.values());
    for (var file : image.getFileList()) {
      if (file.hasEpfd() && homes.containsKey(file.getId())) {
        Epoll.watch(file.getEpfd(), homes.get(file.getId()), recreation);
      }
    }
    for (var group : recreation.groups()) {
      for (var file : group) {
        var home = homes.get(file.getId());
        setOwner(FileOwners.of(file, recreation), recreation.slot(file.getId()), home);
        int flags = recreation.kind(file).lateFlags(file, recreation);
        if (flags != 0) {
          home.need(1, 0);
          home.call("fcntl(F_SETFL)", SyscallNumber.FCNTL, recreation.slot(file.getId()), Fd.F_SETFL, flags);
        }
      }
    }
    foregroundGroups();
    for (var process : image.getProcessList()) {
      place(process, recreation);
    }
    StubDescriptors.flushAll(stubs.values());
    recreation.terminals().lock();
  }

  private void meet(Recreation recreation, Map<Integer, StubDescriptors> homes) {
    var sockets = recreation.unix();
    try (var messages = new UnixMessages(recreation, homes)) {
      sockets.join();
      messages.send();
      sockets.settle();
      socketFiles = sockets.files();
    } catch (RuntimeException e) {
      sockets.abandon();
      throw e;
    }
  }

  /**
   * Notes which files of Unix sockets {@link SocketFiles#putInPlace} has to put in their places.
   *
   * @param list the file to note them in; not made when there are none
   */
  public void rememberSocketFiles(Path list) {
    if (!socketFiles.isEmpty()) {
      SocketFiles.remember(socketFiles, list);
    }
  }

  /**
   * Which stub makes which file: that of the process that the kind wants, else of the first process that has any file of its group.
   */
  private Map<Integer, StubDescriptors> homes(Recreation recreation) {
    var homes = new HashMap<Integer, StubDescriptors>();
    for (var group : recreation.groups()) {
      for (var file : group) {
        var maker = stubs.get(recreation.kind(file).maker(file, recreation));
        if (maker != null && !homes.containsKey(group.getFirst().getId())) {
          group.forEach(member -> homes.put(member.getId(), maker));
        }
      }
    }
    for (var process : image.getProcessList()) {
      for (var descriptor : process.getFdList()) {
        for (var member : recreation.groupOf(recreation.file(descriptor.getId()))) {
          homes.putIfAbsent(member.getId(), stubs.get(process.getPid()));
        }
      }
    }
    // Files that only messages hold.
    for (var group : recreation.groups()) {
      group.forEach(file -> homes.putIfAbsent(file.getId(), stubs.values().iterator().next()));
    }
    return homes;
  }

  private void clear(StubDescriptors stub, Recreation recreation) {
    stub.need(2, 32);
    stub.call("close_range()", SyscallNumber.CLOSE_RANGE, 0, 0xffffffffL, 0);
    int highest = recreation.slotLimit();
    for (var process : image.getProcessList()) {
      if (process.getPid() == stub.nsPid() && process.getFdCount() > 0) {
        highest = Math.max(highest, process.getFd(process.getFdCount() - 1).getFd() + 1);
      }
    }
    if (highest >= LIMIT_USUAL) {
      // A maximum that is lowered here could not be raised again without CAP_SYS_RESOURCE, which not every root has.
      long hard = hardLimit();
      long most = Long.compareUnsigned(hard, highest + 1L) > 0 ? hard : highest + 1L;
      // struct rlimit64: current, maximum
      var limit = ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN).putLong(highest + 1L).putLong(most).array();
      stub.call("prlimit64(RLIMIT_NOFILE)", SyscallNumber.PRLIMIT64, 0, RLIMIT_NOFILE, stub.bytes(limit), 0);
    }
  }

  /** All stubs were born with the same limits. */
  private long hardLimit() {
    if (hardLimit.isEmpty()) {
      int pid = stubs.values().iterator().next().pid();
      try {
        hardLimit = OptionalLong.of(ResourceLimits.of(pid).get(RLIMIT_NOFILE).hard());
      } catch (NoSuchFileException gone) {
        throw new CheckpointException("stub " + pid + " has ended while its descriptors were being made", gone);
      }
    }
    return hardLimit.getAsLong();
  }

  /** Sends files of ours into the stubs that need them, over a socket pair that the stub makes. */
  private void send(Recreation recreation, Map<Integer, StubDescriptors> homes) {
    record Sending(List<Integer> files, List<Integer> slots) {}
    var sendings = new LinkedHashMap<StubDescriptors, Sending>();
    for (var group : recreation.groups()) {
      for (var file : group) {
        var home = homes.get(file.getId());
        recreation
            .kind(file)
            .sends(file, recreation)
            .ifPresent(
                ours ->
                    recreation
                        .send(ours, home)
                        .ifPresent(
                            slot -> {
                              var sending = sendings.computeIfAbsent(home, h -> new Sending(new ArrayList<>(),
                                  new ArrayList<>()));
                              sending.files.add(ours);
                              sending.slots.add(slot);
                            }));
      }
    }
    sendings.forEach((home, sending) -> Delivery.deliver(home, recreation, sending.files, sending.slots));
  }

  /** Fetches into a stub what other stubs have made: its own descriptors, and what its epoll instances watch. */
  private void fetch(
      process_descriptors_entry process, List<Integer> watched, Recreation recreation, Map<Integer, StubDescriptors> homes) {
    var stub = stubs.get(process.getPid());
    if (stub == null) {
      return;
    }
    var wanted = new LinkedHashMap<StubDescriptors, List<Integer>>();
    var needed = new LinkedHashSet<Integer>();
    process.getFdList().forEach(descriptor -> needed.add(descriptor.getId()));
    needed.addAll(watched);
    for (int id : needed) {
      if (homes.get(id) != stub) {
        wanted.computeIfAbsent(homes.get(id), home -> new ArrayList<>()).add(id);
      }
    }
    int pidfdSlot = wanted.isEmpty() ? -1 : recreation.freshSlot();
    wanted.forEach(
        (home, ids) -> {
          stub.need(3, 0);
          stub.park(stub.call("pidfd_open(" + home.nsPid() + ")", SyscallNumber.PIDFD_OPEN, home.nsPid(), Pidfd.THREAD), pidfdSlot);
          for (int id : ids) {
            stub.need(3, 0);
            int slot = recreation.slot(id);
            var what = "pidfd_getfd(process " + home.nsPid() + ")";
            stub.park(stub.call(what, SyscallNumber.PIDFD_GETFD, pidfdSlot, slot, 0), slot);
          }
        });
  }

  /** What the epoll instances that are made in a process watch, by the process's id. */
  private static Map<Integer, List<Integer>> watched(Recreation recreation, Map<Integer, StubDescriptors> homes) {
    var watched = new HashMap<Integer, List<Integer>>();
    for (var group : recreation.groups()) {
      for (var file : group) {
        if (file.hasEpfd()) {
          var ids = watched.computeIfAbsent(homes.get(file.getId()).nsPid(), pid -> new ArrayList<>());
          file.getEpfd().getTfdList().forEach(target -> ids.add(target.getId()));
        }
      }
    }
    return watched;
  }

  private static void setOwner(fown_entry owner, int slot, StubDescriptors home) {
    if (owner.getSignum() != 0) {
      home.need(1, 0);
      home.call("fcntl(F_SETSIG)", SyscallNumber.FCNTL, slot, Fd.F_SETSIG, owner.getSignum());
    }
    if (owner.getPid() == 0) {
      return;
    }
    // The kernel notes who sets the owner, so be that user for a moment; the saved id 0 leads back.
    home.need(3, 16);
    boolean root = owner.getUid() == 0 && owner.getEuid() == 0;
    if (!root) {
      home.call("setresuid(file owner)", SyscallNumber.SETRESUID, owner.getUid(), owner.getEuid(), 0);
    }
    var who = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putInt(owner.getPidType()).putInt(owner.getPid()).array();
    home.call("fcntl(F_SETOWN_EX, " + owner.getPid() + ")", SyscallNumber.FCNTL, slot, Fd.F_SETOWN_EX, home.bytes(who));
    if (!root) {
      home.call("setresuid(root)", SyscallNumber.SETRESUID, 0, 0, 0);
    }
  }

  /** Only who leads a session may say which group of it is in the foreground; it knows the terminal by its name. */
  private void foregroundGroups() {
    for (var terminal : Terminals.controlling(image)) {
      var leader = stubs.get(terminal.getSid());
      if (leader == null) {
        throw new CheckpointException(
            "the image is damaged: terminal " + terminal.getPty().getIndex() + " is that of session " + terminal.getSid()
                + ", whose leader is not there");
      }
      var name = "/dev/pts/" + terminal.getPty().getIndex();
      leader.need(3, 64);
      var path = leader.bytes((name + "\0").getBytes(StandardCharsets.US_ASCII));
      var group = leader.bytes(ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(terminal.getPgrp()).array());
      var opened = leader.call("open(\"" + name + "\")", SyscallNumber.OPENAT, Fd.AT_FDCWD, path, Fd.O_RDWR | Fd.O_NOCTTY | Fd.O_CLOEXEC, 0);
      leader.call("TIOCSPGRP of " + name + " to " + terminal.getPgrp(), SyscallNumber.IOCTL, 0, TerminalCalls.TIOCSPGRP, group).link(0, opened);
      leader.call("close(terminal)", SyscallNumber.CLOSE, 0).link(0, opened);
    }
    StubDescriptors.flushAll(stubs.values());
  }

  /** Puts everything where it belongs and closes the slots. */
  private void place(process_descriptors_entry process, Recreation recreation) {
    var stub = stubs.get(process.getPid());
    if (stub == null) {
      return;
    }
    for (fdinfo_entry descriptor : process.getFdList()) {
      stub.need(1, 0);
      long flags = (descriptor.getFlags() & Fd.FD_CLOEXEC) != 0 ? Fd.O_CLOEXEC : 0;
      stub.call(
          "dup3(into descriptor " + descriptor.getFd() + ")",
          SyscallNumber.DUP3,
          recreation.slot(descriptor.getId()),
          descriptor.getFd(),
          flags);
    }
    stub.need(1, 0);
    stub.call("close_range(slots)", SyscallNumber.CLOSE_RANGE, recreation.firstSlot(), recreation.slotLimit() - 1L, 0);
  }

  private void verify() {
    for (var process : image.getProcessList()) {
      var stub = stubs.get(process.getPid());
      if (stub == null) {
        continue;
      }
      int[] wanted = process.getFdList().stream().mapToInt(fdinfo_entry::getFd).toArray();
      try (var table = DescriptorTable.open(stub.pid())) {
        int[] found = table.list();
        if (!Arrays.equals(found, wanted)) {
          throw new CheckpointException(
              "process %d of the container should have descriptors %s, and its copy has %s"
                  .formatted(process.getPid(), Arrays.toString(wanted), Arrays.toString(found)));
        }
      }
    }
  }

  /**
   * Takes the locks on files, once whoever has them still has let go; nothing opens or closes a file in the stubs afterwards.
   *
   * @param tasks the stubs given to {@link #recreate}
   * @throws CheckpointException when somebody else keeps one of them
   */
  public void takeLocks(Map<Integer, RemoteTask> tasks) {
    LockArrival.take(image, tasks);
  }

  /**
   * Starts the timers with the time they had left, and what watches files. Call it last, when the stubs are otherwise complete.
   *
   * @param tasks the stubs given to {@link #recreate}
   */
  public void armTimers(Map<Integer, RemoteTask> tasks) {
    var timers = new HashMap<Integer, timerfd_entry>();
    image.getFileList().stream().filter(file -> file.hasTfd()).forEach(file -> timers.put(file.getId(), file.getTfd()));
    for (var process : image.getProcessList()) {
      var armedHere = new LinkedHashMap<Integer, timerfd_entry>();
      for (var descriptor : process.getFdList()) {
        // Removed once seen: a timer that several descriptors share is armed through the first.
        var timer = timers.remove(descriptor.getId());
        if (timer != null) {
          armedHere.put(descriptor.getFd(), timer);
        }
      }
      if (!armedHere.isEmpty()) {
        try (var stub = new StubDescriptors(process.getPid(), tasks.get(process.getPid()))) {
          armedHere.forEach((fd, timer) -> Timer.arm(timer, fd, stub));
          stub.flush();
        }
      }
    }
    finish(tasks);
  }

  private void finish(Map<Integer, RemoteTask> tasks) {
    // Not every entry is an open file: some only say which file others mean.
    var opened = image.getProcessList().stream().flatMap(process -> process.getFdList().stream()).map(fdinfo_entry::getId).collect(Collectors.toSet());
    var last = new HashMap<Integer, file_entry>();
    image.getFileList().stream()
        .filter(file -> opened.contains(file.getId()) && FileKinds.of(file).isFinishedLast(file))
        .forEach(file -> last.put(file.getId(), file));
    if (last.isEmpty()) {
      return;
    }
    for (var process : image.getProcessList()) {
      for (var descriptor : process.getFdList()) {
        var file = last.remove(descriptor.getId());
        if (file != null) {
          try (var stub = new StubDescriptors(process.getPid(), tasks.get(process.getPid()))) {
            int copy = stub.take(descriptor.getFd());
            try {
              FileKinds.of(file).finish(file, copy, stub.pid());
            } finally {
              Fd.close(copy);
            }
          }
        }
      }
    }
  }
}
