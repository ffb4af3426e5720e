#include "mezzo/net/address_guard.h"

#include <sys/socket.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mezzo::net {
namespace {

using ::testing::HasSubstr;

TEST(AddressGuard, LetsPublicAddressesPass) {
  for (const char* address : {"1.1.1.1",
                              "8.8.8.8",
                              "9.255.255.255",
                              "11.0.0.0",
                              "100.63.255.255",
                              "100.128.0.0",
                              "126.255.255.255",
                              "128.0.0.0",
                              "169.253.255.255",
                              "169.255.0.0",
                              "172.15.255.255",
                              "172.32.0.0",
                              "192.0.1.0",
                              "192.167.255.255",
                              "192.169.0.0",
                              "198.17.255.255",
                              "198.20.0.0",
                              "223.255.255.255",
                              "2606:4700:4700::1111",
                              "2a00:1450:4001:81b::200e",
                              "2001:4860:4860::8888",
                              "2003::1"}) {
    EXPECT_TRUE(AddressGuard().CheckText(address).ok()) << address;
  }
}

TEST(AddressGuard, RefusesEverySpecialNetworkToUsers) {
  for (const char* address : {"0.0.0.0",
                              "0.255.255.255",
                              "10.0.0.0",
                              "10.255.255.255",
                              "100.64.0.0",
                              "100.127.255.255",
                              "127.0.0.1",
                              "127.255.255.255",
                              "169.254.0.0",
                              "169.254.169.254",
                              "169.254.255.255",
                              "172.16.0.0",
                              "172.31.255.255",
                              "192.0.0.0",
                              "192.0.0.255",
                              "192.0.2.1",
                              "192.88.99.1",
                              "192.168.0.0",
                              "192.168.255.255",
                              "198.18.0.0",
                              "198.19.255.255",
                              "198.51.100.7",
                              "203.0.113.7",
                              "224.0.0.1",
                              "239.255.255.255",
                              "240.0.0.0",
                              "255.255.255.255",
                              "::",
                              "::1",
                              "::2",
                              "::127.0.0.1",
                              "::ffff:127.0.0.1",
                              "::ffff:8.8.8.8",
                              "::ffff:0:127.0.0.1",
                              "64:ff9b::7f00:1",
                              "64:ff9b:1::1",
                              "100::1",
                              "2001::1",
                              "2001:db8::1",
                              "2002:7f00:1::",
                              "3fff::1",
                              "4000::1",
                              "5f00::1",
                              "8000::1",
                              "fc00::1",
                              "fd12:3456::1",
                              "fe80::1",
                              "febf::1",
                              "fec0::1",
                              "ff02::1",
                              "1::1"}) {
    const auto checked = AddressGuard().CheckText(address);
    ASSERT_FALSE(checked.ok()) << address;
    EXPECT_EQ(checked.error().reason(), "address_not_allowed");
  }
  EXPECT_THAT(AddressGuard().CheckText("169.254.169.254").error().message(),
              HasSubstr("169.254.169.254 lies in 169.254.0.0/16 (link-local)"));
}

TEST(AddressGuard, OperatorsReachPrivateNetworksButNoMetadataService) {
  const AddressGuard guard(AddressGuard::Reach::kPrivate);
  for (const char* address : {"10.1.2.3", "127.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1",
                              "fd00::1", "::ffff:10.0.0.1", "1.1.1.1"}) {
    EXPECT_TRUE(guard.CheckText(address).ok()) << address;
  }
  for (const char* address :
       {"169.254.169.254", "100.100.100.200", "fd00:ec2::254", "::ffff:169.254.169.254", "0.0.0.0",
        "::", "fe80::1", "224.0.0.1", "255.255.255.255", "64:ff9b::a00:1", "2002:a00:1::"}) {
    EXPECT_FALSE(guard.CheckText(address).ok()) << address;
  }
}

TEST(AddressGuard, RefusesUnusualNotations) {
  for (const char* address : {"2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127.0.0.1 ", "[::1]",
                              "localhost", "", "8.8.8.8%eth0", "08.8.8.8", "8.8.8.8.8"}) {
    EXPECT_FALSE(AddressGuard(AddressGuard::Reach::kPrivate).CheckText(address).ok()) << address;
  }
}

TEST(AddressGuard, RefusesOtherFamilies) {
  sockaddr address{};
  address.sa_family = AF_UNIX;
  EXPECT_FALSE(AddressGuard(AddressGuard::Reach::kPrivate).Check(&address).ok());
}

}  // namespace
}  // namespace mezzo::net
