// SPDX-License-Identifier: MIT OR Apache-2.0
//! Zones, on the zoned namespace of tests/vm: `rust.py` runs this in the guest.

use blkio::aio::AsyncQueue;
use blkio::{Buf, Completion, Config, Data, Device, Flags, Queue, Region, ZoneState, ZoneType, Zones};

const SIZE: u64 = 4 << 20;
const ZONES: usize = 64;
const BLOCK: usize = 4096;

/// All zones are empty.
fn open() -> (Device, Queue<u32>, Region) {
    let path = std::env::var("BLKIO_TEST_ZONES").expect("BLKIO_TEST_ZONES is the device");
    let config = Config::new("nvme-io_uring").unwrap().set("path", &path).unwrap();
    let (device, mut queues) = config.connect().unwrap().start().unwrap();
    let mut queue = queues.remove(0);
    finish(&mut queue, |q| q.reset_all_zones(1));
    let region = device.alloc(1 << 20).unwrap();
    (device, queue, region)
}

fn complete(queue: &mut Queue<u32>, request: impl FnOnce(&mut Queue<u32>)) -> Completion<u32> {
    request(queue);
    queue.wait_one().unwrap()
}

fn finish(queue: &mut Queue<u32>, request: impl FnOnce(&mut Queue<u32>)) -> Completion<u32> {
    let done = complete(queue, request);
    done.result().unwrap();
    done
}

fn zones_of(done: Completion<u32>) -> Zones {
    match done.data {
        Data::Zones(zones) => zones,
        other => panic!("not zones, but {other:?}"),
    }
}

fn report(queue: &mut Queue<u32>, start: u64, n: u32) -> Zones {
    zones_of(finish(queue, |q| q.report_zones(start, n, 7)))
}

fn state(queue: &mut Queue<u32>, zone: u64) -> ZoneState {
    report(queue, zone * SIZE, 1)[0].state()
}

fn filled(region: &Region, byte: u8) -> Buf {
    let mut buf = region.take(BLOCK).unwrap();
    buf.fill(byte);
    buf
}

#[test]
#[ignore = "needs a zoned device"]
fn reports() {
    let (device, mut queue, _region) = open();
    assert_eq!(device.get::<u64>("zone-size").unwrap(), SIZE);
    let zones = report(&mut queue, 0, 2 * ZONES as u32);
    assert_eq!(zones.len(), ZONES); // although there is room for more
    for (i, zone) in zones.iter().enumerate() {
        assert_eq!((zone.start(), zone.len(), zone.capacity()), (i as u64 * SIZE, SIZE, SIZE));
        assert_eq!(zone.write_pointer(), zone.start());
        assert_eq!(zone.zone_type(), ZoneType::SequentialRequired);
        assert_eq!(zone.state(), ZoneState::Empty);
        assert!(!zone.reset_recommended());
    }
    let some = report(&mut queue, 5 * SIZE + 4096, 3); // from the zone around it
    assert_eq!(some.iter().map(|z| z.start() / SIZE).collect::<Vec<_>>(), [5, 6, 7]);
    assert!(report(&mut queue, 0, 0).is_empty());
    let done = complete(&mut queue, |q| q.report_zones(ZONES as u64 * SIZE, 1, 0));
    assert_eq!(done.result().unwrap_err().errno(), blkio::errno::EINVAL);
    assert!(matches!(done.data, Data::Zones(zones) if zones.is_empty()));
}

#[test]
#[ignore = "needs a zoned device"]
fn a_zone_is_written_in_order() {
    let (_device, mut queue, region) = open();
    let buf = finish(&mut queue, |q| q.write(SIZE, filled(&region, 1), Flags::NONE, 0));
    drop(buf.into_buf().unwrap());
    let zone = report(&mut queue, SIZE, 1)[0];
    assert_eq!((zone.write_pointer(), zone.state()), (SIZE + 4096, ZoneState::ImplicitlyOpen));
    let two = vec![filled(&region, 2), filled(&region, 3)];
    finish(&mut queue, |q| q.writev(SIZE + 4096, two, Flags::FUA, 0));
    let done = complete(&mut queue, |q| q.write(SIZE, filled(&region, 4), Flags::NONE, 0));
    assert!(done.result().unwrap_err().message().contains("write pointer"));
    for block in 0..3 {
        let read = |q: &mut Queue<u32>| q.read(SIZE + block * 4096, region.take(BLOCK).unwrap(), 0);
        let buf = finish(&mut queue, read).into_buf().unwrap();
        assert!(buf.iter().all(|byte| u64::from(*byte) == block + 1));
    }
}

#[test]
#[ignore = "needs a zoned device"]
fn each_zone_changes_its_state() {
    let (_device, mut queue, region) = open();
    finish(&mut queue, |q| q.open_zone(SIZE, 0));
    assert_eq!(state(&mut queue, 1), ZoneState::ExplicitlyOpen);
    finish(&mut queue, |q| q.write(SIZE, filled(&region, 1), Flags::NONE, 0));
    finish(&mut queue, |q| q.close_zone(SIZE, 0));
    assert_eq!(state(&mut queue, 1), ZoneState::Closed);
    finish(&mut queue, |q| q.finish_zone(SIZE, 0));
    assert_eq!(state(&mut queue, 1), ZoneState::Full);
    let done = complete(&mut queue, |q| q.open_zone(SIZE, 9));
    assert_eq!((done.token, done.result().is_err()), (9, true));
    finish(&mut queue, |q| q.reset_zone(SIZE, 0));
    assert_eq!(state(&mut queue, 1), ZoneState::Empty);
}

#[test]
#[ignore = "needs a zoned device"]
fn all_zones_change_their_state() {
    let (_device, mut queue, region) = open();
    for zone in 0..3 {
        finish(&mut queue, |q| q.write(zone * SIZE, filled(&region, 1), Flags::NONE, 0));
    }
    let mut expect = |request: fn(&mut Queue<u32>), state| {
        finish(&mut queue, request);
        let zones = report(&mut queue, 0, ZONES as u32);
        assert!(zones[..3].iter().all(|zone| zone.state() == state), "{state:?}: {zones:?}");
    };
    expect(|q| q.close_all_zones(0), ZoneState::Closed);
    expect(|q| q.open_all_zones(0), ZoneState::ExplicitlyOpen);
    expect(|q| q.finish_all_zones(0), ZoneState::Full);
    expect(|q| q.reset_all_zones(0), ZoneState::Empty);
}

/// Several at once: each is told where the device put it.
#[test]
#[ignore = "needs a zoned device"]
fn appends() {
    const N: u32 = 16;
    let (_device, mut queue, region) = open();
    for i in 0..N {
        queue.zone_append(SIZE, filled(&region, i as u8 + 1), Flags::NONE, i);
    }
    queue.wait(N as usize).unwrap();
    let mut appended = Vec::new();
    while let Some(done) = queue.pop() {
        done.result().unwrap();
        match done.data {
            Data::Appended(it) => appended.push((it.start(), done.token as u8 + 1, it.into_buf())),
            other => panic!("not an append, but {other:?}"),
        }
    }
    appended.sort_by_key(|it| it.0);
    for (i, (start, byte, buf)) in appended.into_iter().enumerate() {
        assert_eq!(start, SIZE + (i * BLOCK) as u64);
        let buf = finish(&mut queue, |q| q.read(start, buf, 0)).into_buf().unwrap();
        assert!(buf.iter().all(|b| *b == byte));
    }
    let many = filled(&region, 1);
    let done = complete(&mut queue, |q| q.zone_append(SIZE + 4096, many, Flags::NONE, 0));
    assert_eq!(done.result().unwrap_err().errno(), blkio::errno::EINVAL);
    let queue = AsyncQueue::new(queue).unwrap();
    let request = queue.zone_append(2 * SIZE, filled(&region, 9), Flags::FUA);
    let (result, appended) = queue.block_on(request).unwrap();
    result.unwrap();
    assert_eq!(appended.start(), 2 * SIZE);
}

/// Each report has memory of its own, also when its queue is dropped meanwhile.
#[test]
#[ignore = "needs a zoned device"]
fn reports_in_flight() {
    let (device, mut queue, _region) = open();
    for zone in 0..20 {
        queue.report_zones(u64::from(zone) * SIZE, ZONES as u32, zone);
    }
    queue.wait(20).unwrap();
    while let Some(done) = queue.pop() {
        let first = done.token;
        let zones = zones_of(done);
        assert_eq!(zones.len(), ZONES - first as usize);
        assert_eq!(zones[0].start(), u64::from(first) * SIZE);
    }
    for zone in 0..20 {
        queue.report_zones(u64::from(zone) * SIZE, ZONES as u32, zone);
    }
    queue.submit().unwrap();
    drop((queue, device));
}

#[test]
#[ignore = "needs a zoned device"]
fn futures_of_zones() {
    let (_device, queue, region) = open();
    let queue = AsyncQueue::new(queue).unwrap();
    let run = async {
        queue.open_zone(0).await.0?;
        queue.write(0, filled(&region, 1), Flags::NONE).await.0?;
        queue.close_zone(0).await.0?;
        let (result, zones) = queue.report_zones(0, 1).await;
        result?;
        queue.finish_zone(0).await.0?;
        queue.reset_zone(0).await.0?;
        queue.close_all_zones().await.0?;
        queue.open_all_zones().await.0?;
        queue.finish_all_zones().await.0?;
        queue.reset_all_zones().await.0?;
        Ok::<_, blkio::Error>(zones)
    };
    let zones = queue.block_on(run).unwrap().unwrap();
    assert_eq!((zones[0].state(), zones[0].write_pointer()), (ZoneState::Closed, 4096));
}
