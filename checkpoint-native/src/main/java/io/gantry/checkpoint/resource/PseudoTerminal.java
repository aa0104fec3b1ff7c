package io.gantry.checkpoint.resource;

import com.google.protobuf.ByteString;
import io.gantry.checkpoint.Finding;
import io.gantry.checkpoint.image.TtyType;
import io.gantry.checkpoint.image.fd_types;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.tty_data_entry;
import io.gantry.checkpoint.image.tty_file_entry;
import io.gantry.checkpoint.image.tty_info_entry;
import io.gantry.checkpoint.image.tty_pty_entry;
import io.gantry.checkpoint.image.winsize_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.FileStatus;
import io.gantry.checkpoint.linux.Poll;
import io.gantry.checkpoint.linux.SyscallNumber;
import io.gantry.checkpoint.linux.TerminalCalls;
import io.gantry.checkpoint.procfs.TaskStat;
import io.gantry.checkpoint.procfs.TaskStatus;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.IntStream;

/** Both ends of a pseudo-terminal, of which the master must be in the container. {@link Terminals} makes them. */
final class PseudoTerminal implements FileKind {
  /** {@code TTYAUX_MAJOR} with its minors 0 and 2, and {@code UNIX98_PTY_SLAVE_MAJOR} ({@code linux/major.h}). */
  private static final int AUXILIARY = 5;

  private static final int CONTROLLING = 0;
  private static final int MASTER = 2;
  private static final int SLAVES = 136;
  /** Keeps a hung-up slave's number apart from that of a terminal that has the same one. */
  private static final int HUNG_UP = 1 << 30;

  @Override
  public String name(SeenDescriptor seen, int copy) {
    return "terminal";
  }

  private static int major(SeenDescriptor seen) {
    return (int) (seen.status().rawDevice() >>> 8 & 0xfff);
  }

  private static int minor(long device) {
    return (int) (device & 0xff | device >>> 12 & ~0xff);
  }

  private static boolean isMaster(SeenDescriptor seen) {
    return major(seen) == AUXILIARY && minor(seen.status().rawDevice()) == MASTER;
  }

  private static boolean isControlling(SeenDescriptor seen) {
    return major(seen) == AUXILIARY && minor(seen.status().rawDevice()) == CONTROLLING;
  }

  static boolean is(SeenDescriptor seen) {
    return seen.isPath()
        && seen.status().type() == FileStatus.S_IFCHR
        && (seen.info().statusFlags() & Fd.O_PATH) == 0
        && (major(seen) == SLAVES || isMaster(seen) || isControlling(seen));
  }

  @Override
  public boolean claims(SeenDescriptor seen, int copy) {
    return is(seen);
  }

  /** The number of the terminal; empty when it was hung up, or is none that has a number. */
  private static OptionalInt index(int copy) {
    var device = TerminalCalls.device(copy);
    return device.isPresent() && (device.getAsInt() >>> 8 & 0xfff) == SLAVES
        ? OptionalInt.of(minor(Integer.toUnsignedLong(device.getAsInt())))
        : OptionalInt.empty();
  }

  private static Optional<SeenDescriptor> master(int index, Inventory inventory) {
    var wanted = List.of(Integer.toString(index));
    return inventory.descriptors().stream().filter(seen -> is(seen) && isMaster(seen) && seen.info().values("tty-index").equals(wanted)).findFirst();
  }

  @Override
  public List<String> obstacles(SeenDescriptor seen, int copy, Inventory inventory) {
    if (isMaster(seen)) {
      return obstaclesOfMaster(seen, copy, inventory);
    }
    if (TerminalCalls.device(copy).isEmpty()) {
      return obstaclesOfHungUp(seen, inventory);
    }
    var index = index(copy);
    var master = index.isPresent() ? master(index.getAsInt(), inventory) : Optional.<SeenDescriptor>empty();
    if (master.isEmpty() || !isControlling(seen) && !isOwn(seen, inventory)) {
      return List.of(
          seen.link() + " is a terminal whose master is outside the container; start the program with its console in a file or with /dev/null,"
              + " or under script(1) or tmux(1) inside the container");
    }
    int discipline = TerminalCalls.lineDiscipline(copy);
    return discipline == 0 ? List.of() : List.of("it has line discipline " + discipline + ", which cannot be carried");
  }

  private static List<String> obstaclesOfHungUp(SeenDescriptor seen, Inventory inventory) {
    if (isControlling(seen)) {
      return List.of("it was opened as /dev/tty and has been hung up since; let the program close it");
    }
    var master = master(minor(seen.status().rawDevice()), inventory);
    if (master.isPresent()) {
      int copy = inventory.take(master.get());
      try {
        if (TerminalCalls.session(copy).isPresent()) {
          return List.of("it was hung up, and the terminal is another session's by now; let the program close it");
        }
      } finally {
        Fd.close(copy);
      }
    }
    return List.of();
  }

  /** Whether it belongs to what the container has in {@code /dev/pts}. */
  private static boolean isOwn(SeenDescriptor seen, Inventory inventory) {
    return FileStatus.of(inventory.root() + "/dev/pts").filter(pts -> pts.device() == seen.status().device()).isPresent();
  }

  private static List<String> obstaclesOfMaster(SeenDescriptor seen, int copy, Inventory inventory) {
    var found = new ArrayList<String>();
    if (!seen.link().endsWith("/dev/ptmx") && !isOwn(seen, inventory)) {
      found.add("it is the master of a terminal that is not in the container's /dev/pts");
    }
    if (TerminalCalls.lineDiscipline(copy) != 0) {
      found.add("its master has line discipline " + TerminalCalls.lineDiscipline(copy) + ", which cannot be carried");
    }
    if ((Poll.await(copy, Poll.PRI, 0) & Poll.PRI) != 0) {
      found.add("in packet mode, a change of its state has not been read yet; try again");
    }
    return found;
  }

  /** Processes whose controlling terminal has its master outside. */
  static List<Finding> controlling(Inventory inventory) {
    var found = new ArrayList<Finding>();
    for (var process : inventory.processes()) {
      try {
        int terminal = TaskStat.ofProcess(process.pid()).pseudoTerminal();
        if (terminal != 0 && !isSessionOf(process.pid(), terminal - 1, inventory)) {
          found.add(
              new Finding(
                  process.pid(),
                  -1,
                  "controlling terminal",
                  "the master of its controlling terminal /dev/pts/" + (terminal - 1)
                      + " is outside the container; start it with setsid(1) and without a terminal, or under script(1) or tmux(1) inside the container"));
        }
      } catch (NoSuchFileException ended) {
        continue;
      }
    }
    return found;
  }

  private static boolean isSessionOf(int pid, int index, Inventory inventory) throws NoSuchFileException {
    var master = master(index, inventory);
    if (master.isEmpty()) {
      return false;
    }
    int copy = inventory.take(master.get());
    try {
      var session = TerminalCalls.session(copy);
      return session.isPresent() && session.getAsInt() == (int) TaskStatus.ofProcess(pid).ids("NSsid").getFirst();
    } finally {
      Fd.close(copy);
    }
  }

  @Override
  public file_entry capture(int id, SeenDescriptor seen, int copy, CaptureSession session) {
    var index = index(copy);
    var entry = tty_file_entry.newBuilder().setId(id).setFlags(seen.info().statusFlags()).setFown(session.owner(copy));
    if (index.isEmpty()) {
      entry.setTtyInfoId(hungUp(minor(seen.status().rawDevice()), session));
    } else {
      pair(index.getAsInt(), session);
      entry.setTtyInfoId(endId(index.getAsInt(), isMaster(seen)));
      if (isControlling(seen) && isControlledBy(seen, index.getAsInt())) {
        entry.setControlling(true);
      }
    }
    return file_entry.newBuilder().setType(fd_types.TTY).setId(id).setTty(entry).build();
  }

  private static boolean isControlledBy(SeenDescriptor seen, int index) {
    try {
      return TaskStat.ofProcess(seen.process().pid()).pseudoTerminal() == index + 1;
    } catch (NoSuchFileException ended) {
      return false;
    }
  }

  private static int endId(int index, boolean master) {
    return 2 * index + (master ? 2 : 1);
  }

  private static int hungUp(int index, CaptureSession session) {
    int id = endId(index, false) | HUNG_UP;
    if (session.isNewTerminal(id)) {
      session.result().addTty(end(id, index, SLAVES << 8 | index & 0xff | (index & ~0xff) << 12).setHungUp(true));
    }
    return id;
  }

  private static tty_info_entry.Builder end(int id, int index, int device) {
    return tty_info_entry.newBuilder()
        .setId(id)
        .setType(TtyType.PTY)
        .setLocked(false)
        .setExclusive(false)
        .setPacketMode(false)
        .setSid(0)
        .setPgrp(0)
        .setRdev(device)
        .setPty(tty_pty_entry.newBuilder().setIndex(index));
  }

  /** Describes both ends when the first is met. */
  private static void pair(int index, CaptureSession session) {
    if (!session.isNewTerminal(endId(index, true))) {
      return;
    }
    var inventory = session.inventory();
    int master = inventory.take(master(index, inventory).orElseThrow());
    try {
      int sid = TerminalCalls.session(master).stream().map(host -> groupInside(host, inventory)).findFirst().orElse(0);
      int foreground = TerminalCalls.foreground(master).stream().map(host -> groupInside(host, inventory)).findFirst().orElse(0);
      var atMaster = end(endId(index, true), index, AUXILIARY << 8 | MASTER).setSid(sid).setPgrp(foreground);
      var atSlave = end(endId(index, false), index, SLAVES << 8 | index & 0xff | (index & ~0xff) << 12).setSid(sid).setPgrp(foreground);
      describe(index, master, atMaster, atSlave, session);
      session.result().addTty(atMaster).addTty(atSlave);
    } finally {
      Fd.close(master);
    }
  }

  private static void describe(
      int index, int master, tty_info_entry.Builder atMaster, tty_info_entry.Builder atSlave, CaptureSession session) {
    boolean locked = TerminalCalls.isLocked(master);
    atMaster.setLocked(locked).setPacketMode(TerminalCalls.isPacketMode(master)).setExclusive(TerminalCalls.isExclusive(master));
    atSlave.setTermios(new TerminalModes(TerminalCalls.modes(master)).toEntry());
    byte[] lockedModes = TerminalCalls.lockedModes(master);
    if (IntStream.range(0, lockedModes.length).anyMatch(i -> lockedModes[i] != 0)) {
      atSlave.setTermiosLocked(new TerminalModes(java.util.Arrays.copyOf(lockedModes, TerminalCalls.TERMIOS2_BYTES)).toEntry());
    }
    var size = ByteBuffer.wrap(TerminalCalls.windowSize(master)).order(ByteOrder.LITTLE_ENDIAN);
    atSlave.setWinsize(
        winsize_entry.newBuilder()
            .setWsRow(size.getShort() & 0xffff)
            .setWsCol(size.getShort() & 0xffff)
            .setWsXpixel(size.getShort() & 0xffff)
            .setWsYpixel(size.getShort() & 0xffff));
    FileStatus.of(session.inventory().root() + "/dev/pts/" + index)
        .ifPresent(status -> atSlave.setUid(status.uid()).setGid(status.gid()).setMode(status.mode() & 07777));
    boolean closed = (Poll.await(master, Poll.IN, 0) & Poll.HUP) != 0;
    atSlave.setSlaveClosed(closed);
    // Opening a slave that nobody has opened yet would be noticed: its master reads an end once it is closed again.
    if (closed || isOpen(index, session.inventory())) {
      content(master, locked, atMaster, atSlave, session);
    }
  }

  private static boolean isOpen(int index, Inventory inventory) {
    for (var seen : inventory.descriptors()) {
      if (is(seen) && major(seen) == SLAVES && minor(seen.status().rawDevice()) == index || is(seen) && isControlling(seen)) {
        int copy = inventory.take(seen);
        try {
          if (index(copy).equals(OptionalInt.of(index))) {
            return true;
          }
        } finally {
          Fd.close(copy);
        }
      }
    }
    return false;
  }

  private static void content(
      int master, boolean locked, tty_info_entry.Builder atMaster, tty_info_entry.Builder atSlave, CaptureSession session) {
    if (locked) {
      TerminalCalls.setLocked(master, false);
    }
    int slave = TerminalCalls.openSlave(master, Fd.O_RDWR | Fd.O_NONBLOCK);
    try {
      atSlave.setExclusive(TerminalCalls.isExclusive(slave));
      var content = TerminalContent.copy(master, slave);
      content.input().forEach(piece -> session.result().addTtyData(piece.toEntry(atSlave.getId())));
      if (content.output().length > 0) {
        session.result().addTtyData(tty_data_entry.newBuilder().setTtyId(atMaster.getId()).setData(ByteString.copyFrom(content.output())));
      }
      if (content.stopped()) {
        atSlave.setOutputStopped(true);
      }
    } finally {
      Fd.close(slave);
      if (locked) {
        TerminalCalls.setLocked(master, true);
      }
    }
  }

  /** A session or group as the container counts; its leader may have ended. 0 when it has no member in the container. */
  private static int groupInside(int hostId, Inventory inventory) {
    for (var process : inventory.processes()) {
      try {
        var status = TaskStatus.ofProcess(process.pid());
        for (String kind : List.of("NSsid", "NSpgid")) {
          if ((int) status.ids(kind).getFirst() == hostId) {
            return status.innermost(kind);
          }
        }
      } catch (NoSuchFileException ended) {
        continue;
      }
    }
    return 0;
  }

  @Override
  public boolean describes(file_entry file) {
    return file.getType() == fd_types.TTY;
  }

  @Override
  public OptionalInt sends(file_entry file, Recreation recreation) {
    return file.getTty().getControlling() ? OptionalInt.empty() : OptionalInt.of(recreation.terminals().file(file));
  }

  @Override
  public void recreate(file_entry file, StubDescriptors home, Recreation recreation) {
    int slot = recreation.slot(file.getId());
    if (file.getTty().getControlling()) {
      home.open("/dev/tty", file.getTty().getFlags() & 3, slot);
    } else {
      home.need(1, 0);
      home.call("dup3(terminal)", SyscallNumber.DUP3, recreation.sentSlot(file, home), slot, Fd.O_CLOEXEC);
    }
  }

  @Override
  public int lateFlags(file_entry file, Recreation recreation) {
    return file.getTty().getFlags() & ~3;
  }
}
