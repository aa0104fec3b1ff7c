package io.gantry.checkpoint.resource;

import io.gantry.checkpoint.CheckpointException;
import io.gantry.checkpoint.image.descriptors_entry;
import io.gantry.checkpoint.image.file_entry;
import io.gantry.checkpoint.image.tty_data_entry;
import io.gantry.checkpoint.image.tty_info_entry;
import io.gantry.checkpoint.image.winsize_entry;
import io.gantry.checkpoint.linux.Fd;
import io.gantry.checkpoint.linux.TerminalCalls;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.IntSupplier;

/**
 * The pseudo-terminals of a container that is being built. This agent makes them, with the container's {@code /dev/ptmx}, and holds both ends until the
 * stubs have them: a terminal that nobody has open is no session's terminal any more. Used by the tracer thread.
 */
public final class Terminals implements AutoCloseable {
  private final IntSupplier root;
  private final TreeMap<Integer, Integer> masters = new TreeMap<>();
  private final Map<Integer, Integer> slaves = new HashMap<>();
  private final Map<Integer, Integer> files = new HashMap<>();
  private final List<Integer> ours = new ArrayList<>();
  private final List<Integer> toLock = new ArrayList<>();

  /** @param root asked for a stub of the container, as the host counts, when the first terminal is made */
  public Terminals(IntSupplier root) {
    this.root = root;
  }

  /**
   * Makes the terminal with that number, unless it is there, and keeps its slave open.
   *
   * @throws CheckpointException when the number is taken
   */
  public void prepare(int index) {
    slave(index);
  }

  private int slave(int index) {
    int master = master(index);
    return slaves.computeIfAbsent(index, i -> TerminalCalls.openSlave(master, Fd.O_RDWR | Fd.O_NONBLOCK));
  }

  /** The kernel gives out the lowest free number, so others are taken until it comes up. */
  private int master(int index) {
    while (!masters.containsKey(index)) {
      int master = Fd.open("/proc/" + root.getAsInt() + "/root/dev/ptmx", Fd.O_RDWR | Fd.O_NOCTTY | Fd.O_NONBLOCK | Fd.O_CLOEXEC, 0);
      int number = TerminalCalls.index(master);
      masters.put(number, master);
      if (number > index && !masters.containsKey(index)) {
        throw new CheckpointException("pseudo-terminal " + index + ", which the original has, is taken on this host; end the program that has it open");
      }
      TerminalCalls.setLocked(master, false);
    }
    return masters.get(index);
  }

  /** Our descriptor of a terminal that a process has open. */
  int file(file_entry file) {
    var made = files.get(file.getId());
    if (made == null) {
      throw new CheckpointException("the image is damaged: terminal " + file.getTty().getTtyInfoId() + " is open but not described");
    }
    return made;
  }

  /** Makes all terminals of an image, with their state and what waits in them; not yet foreground groups and locks. */
  void make(descriptors_entry image) {
    Map<Integer, List<file_entry>> opened = new HashMap<>();
    image.getFileList().stream()
        .filter(file -> file.hasTty() && !file.getTty().getControlling())
        .forEach(file -> opened.computeIfAbsent(file.getTty().getTtyInfoId(), id -> new ArrayList<>()).add(file));
    var ends = new ArrayList<>(image.getTtyList());
    // Those that were hung up first: their hang-up must not reach what is opened for others.
    ends.sort((a, b) -> Boolean.compare(b.getHungUp(), a.getHungUp()));
    for (var end : ends) {
      int index = end.getPty().getIndex();
      var its = opened.getOrDefault(end.getId(), List.of());
      boolean isMaster = !end.getHungUp() && end.getId() % 2 == 0;
      if (end.getHungUp()) {
        its.forEach(file -> open(index, file));
        hangUp(index, image);
      } else if (isMaster) {
        its.forEach(file -> files.put(file.getId(), master(index)));
        var slave = ends.stream().filter(other -> other.getId() == end.getId() - 1).findFirst();
        settle(index, end, slave.orElseThrow(() -> new CheckpointException("the image is damaged: terminal " + index + " has no slave")), image, opened);
      }
    }
  }

  private void open(int index, file_entry file) {
    int fd = TerminalCalls.openSlave(master(index), file.getTty().getFlags() & 3);
    ours.add(fd);
    files.put(file.getId(), fd);
  }

  private void hangUp(int index, descriptors_entry image) {
    boolean masterLives = image.getTtyList().stream().anyMatch(end -> !end.getHungUp() && end.getPty().getIndex() == index);
    if (masterLives) {
      int slave = TerminalCalls.openSlave(master(index), Fd.O_RDWR | Fd.O_NONBLOCK);
      TerminalCalls.hangUp(slave);
      Fd.close(slave);
    } else {
      Fd.close(masters.remove(index));
    }
  }

  private void settle(int index, tty_info_entry master, tty_info_entry slave, descriptors_entry image, Map<Integer, List<file_entry>> opened) {
    int ourMaster = master(index);
    var slaveFiles = opened.getOrDefault(slave.getId(), List.of());
    slaveFiles.forEach(file -> open(index, file));
    own(index, slave);
    TerminalCalls.setWindowSize(ourMaster, size(slave.getWinsize()));
    var modes = TerminalModes.of(slave.getTermios());
    TerminalCalls.setModes(ourMaster, modes.termios2());
    var input = image.getTtyDataList().stream().filter(data -> data.getTtyId() == slave.getId()).map(TerminalContent.Piece::of).toList();
    var output = image.getTtyDataList().stream().filter(data -> data.getTtyId() == master.getId()).map(tty_data_entry::getData).findFirst();
    if (!slaveFiles.isEmpty() || slave.getSlaveClosed() || slaves.containsKey(index)) {
      int ourSlave = slave(index);
      new TerminalContent(input, output.map(bytes -> bytes.toByteArray()).orElse(new byte[0]), slave.getOutputStopped()).put(ourMaster, ourSlave, modes);
      if (slave.getExclusive()) {
        TerminalCalls.setExclusive(ourSlave);
      }
    }
    if (slave.hasTermiosLocked()) {
      TerminalCalls.setLockedModes(ourMaster, TerminalModes.of(slave.getTermiosLocked()).termios());
    }
    if (master.getPacketMode()) {
      TerminalCalls.setPacketMode(ourMaster, true);
    }
    if (master.getExclusive()) {
      TerminalCalls.setExclusive(ourMaster);
    }
    if (master.getLocked()) {
      toLock.add(ourMaster);
    }
  }

  private void own(int index, tty_info_entry slave) {
    if (slave.hasMode()) {
      var path = Path.of("/proc/" + root.getAsInt() + "/root/dev/pts/" + index);
      try {
        Files.setAttribute(path, "unix:uid", slave.getUid());
        Files.setAttribute(path, "unix:gid", slave.getGid());
        Files.setAttribute(path, "unix:mode", slave.getMode());
      } catch (IOException e) {
        throw new CheckpointException("giving /dev/pts/" + index + " its owner failed: " + e, e);
      }
    }
  }

  private static byte[] size(winsize_entry size) {
    return ByteBuffer.allocate(TerminalCalls.WINSIZE_BYTES)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putShort((short) size.getWsRow())
        .putShort((short) size.getWsCol())
        .putShort((short) size.getWsXpixel())
        .putShort((short) size.getWsYpixel())
        .array();
  }

  /** When nobody needs to open a slave any more. */
  void lock() {
    toLock.forEach(master -> TerminalCalls.setLocked(master, true));
    toLock.clear();
  }

  /** The end of each terminal that is some session's, of those that an image describes. */
  static List<tty_info_entry> controlling(descriptors_entry image) {
    return image.getTtyList().stream().filter(end -> end.getId() % 2 == 1 && end.getSid() != 0 && end.getPgrp() != 0).toList();
  }

  /** Lets go of everything. A terminal that no stub has open is gone then. */
  @Override
  public void close() {
    slaves.values().forEach(Fd::close);
    ours.forEach(Fd::close);
    masters.values().forEach(Fd::close);
    slaves.clear();
    ours.clear();
    masters.clear();
    files.clear();
  }
}
